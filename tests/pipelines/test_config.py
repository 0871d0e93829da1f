"""Configuration: what is wrong is said by file, line and field; what is right decides one hash."""

from pathlib import Path

import pytest
from cotmill.pipelines.config import (
    Config,
    FamilySource,
    FileSource,
    config_hash,
    flat,
    load,
    resolve,
    shipped_config,
)
from cotmill.schemas import BadInput

SOURCES = "sources:\n  - {kind: families, count: 3}\n"


def given(folder: Path, text: str | bytes) -> Path:
    path = folder / "own.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def config(folder: Path, text: str = SOURCES, **options: tuple[str, ...]) -> Config:
    return load(given(folder, text), **options)[0]


@pytest.mark.parametrize("name", ["demo.yaml", "tiny.yaml", "embedded.yaml", "own.yaml"])
def test_every_shipped_configuration_is_valid(name: str) -> None:
    settings, base = load(shipped_config(name))
    assert base == shipped_config(name).parent
    for source in settings.sources:
        if isinstance(source, FileSource) and source.path.startswith("cotmill:"):
            assert resolve(source.path).is_file(), source.path


def test_little_needs_to_be_said(tmp_path: Path) -> None:
    [source] = config(tmp_path).sources
    assert isinstance(source, FamilySource)
    assert source.count == 3


@pytest.mark.parametrize(
    ("text", "line", "field", "what"),
    [
        (SOURCES + "sed: 1\n", 3, "sed", "no such setting"),
        (SOURCES + "completion:\n  rolouts: 3\n", 4, "completion.rolouts", "no such setting"),
        (SOURCES + "completion:\n  rollouts: many\n", 4, "completion.rollouts", "valid integer"),
        (SOURCES + "completion:\n  temperature: -1\n", 4, "completion.temperature", "greater than"),
        (SOURCES + "completion:\n  stop: [a, 1]\n", 4, "completion.stop.1", "valid string"),
        (
            SOURCES + "search:\n  settings:\n    simulations: -5\n",
            5,
            "search.settings.simulations",
            "greater",
        ),
        (SOURCES + "completion:\n", 3, "completion", "expected settings"),
        (SOURCES + "shards: 3\n", 3, "shards", "expected settings"),
        (SOURCES + "policy:\n  device: tpu\n", 4, "policy.device", "'auto', 'cpu' or 'cuda'"),
        (SOURCES + "max_rejected: 2\n", 3, "max_rejected", "less than or equal"),
        (SOURCES + "seed: 1\nmax_rejected: 0\nseed: 2\n", 5, "seed", "given twice"),
        (SOURCES + "labels:\n  rollouts: 1\n  rollouts: 2\n", 5, "rollouts", "given twice"),
        ("sources: []\n", 1, "sources", "at least 1"),
        ("sources: {kind: seeds}\n", 1, "sources", "valid tuple"),
        (
            "sources:\n- {kind: seeds, path: a}\n- kind: traces\n  path: 3\n",
            4,
            "sources.1.path",
            "valid string",
        ),
        ("sources:\n- kind: seeds\n  path: a\n  rollout: 3\n", 4, "sources.0.rollout", "no such setting"),
        ("sources:\n- kind: seeds\n", 2, "sources.0.path", "required"),
        ("sources:\n- path: a\n", 2, "sources.0", "`kind` is missing"),
        ("sources:\n- kind: file\n  path: a\n", 2, "sources.0", "`kind` is none of"),
        ("sources:\n- kind: families\n  count: 1\n  families: [nope]\n", 4, "sources.0.families", "nope"),
        (
            "sources:\n- kind: families\n  count: 1\n  families: [word, 1]\n",
            4,
            "sources.0.families.1",
            "string",
        ),
        ("sources:\n- kind: families\n  count: 1\n  levels: [9]\n", 4, "sources.0.levels", "9"),
        ("sources:\n- kind: families\n  count: 1\n  levels: []\n", 4, "sources.0.levels", "at least 1"),
        ("seed: 1\n", None, "sources", "required"),
    ],
)
def test_a_wrong_setting_is_named_by_line_and_field(
    text: str, line: int | None, field: str, what: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=what) as e:
        config(tmp_path, text)
    assert (e.value.file, e.value.line, e.value.field) == (tmp_path / "own.yaml", line, field)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", None, "expected settings"),
        ("# nothing yet\n", None, "expected settings"),
        ("- a\n- b\n", None, "expected settings"),
        ("just words\n", None, "expected settings"),
        ("a: [1\nb: 2\n", 2, "not YAML"),
        ("a:\n\t- b\n", 2, "not YAML"),
        ("seed: 1\n? [a]\n: 2\n", 2, "not YAML"),
        ("a: *missing\n", 1, "not YAML"),
        ("a: !!python/object:os.system x\n", 1, "not YAML"),
        ("seed: 2024-13-45\n", None, "not YAML"),
        ("a\0: 1\n", None, "not YAML"),
        ("[" * 5000, None, "not YAML"),
        (b"seed: \xff\n", None, "cannot be read"),
        ("&a [*a]\n", None, "expected settings"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(
    text: str | bytes, line: int | None, what: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=what) as e:
        load(given(tmp_path, text))
    assert (e.value.file, e.value.line) == (tmp_path / "own.yaml", line)


def test_a_file_that_refers_to_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        config(tmp_path, SOURCES + "a: &x {b: *x}\n")
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    with pytest.raises(BadInput, match="no such setting"):
        config(tmp_path, SOURCES + bomb)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(BadInput, match="cannot be read") as e:
            load(path)
        assert e.value.file == path


def test_rolling_out_without_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="rolled out"):
        config(tmp_path, SOURCES + "policy: {model: none}\n")
    fine = SOURCES.replace("3}", "3, roll_out: false}") + "policy: {model: none}\n"
    assert config(tmp_path, fine).policy.model == "none"


class TestOverrides:
    def test_a_setting_is_replaced_and_its_neighbours_stay(self, tmp_path: Path) -> None:
        text = SOURCES + "completion: {rollouts: 3, temperature: 0.5}\n"
        done = config(tmp_path, text, overrides=("completion.rollouts=16", "labels.threshold=0.25", "seed=7"))
        assert (done.completion.rollouts, done.completion.temperature) == (16, 0.5)
        assert (done.labels.threshold, done.seed) == (0.25, 7)

    def test_values_are_yaml(self, tmp_path: Path) -> None:
        done = config(tmp_path, overrides=("completion.stop=['a=b', \"\\n\"]", "completion.from_question=no"))
        assert done.completion.stop == ("a=b", "\n")
        assert not done.completion.from_question

    def test_items_of_a_list_are_named_by_number(self, tmp_path: Path) -> None:
        [source] = config(tmp_path, overrides=("sources.0.count=5",)).sources
        assert source.count == 5  # type: ignore[union-attr]

    def test_the_last_of_two_wins(self, tmp_path: Path) -> None:
        assert config(tmp_path, overrides=("seed=1", "seed=2")).seed == 2

    @pytest.mark.parametrize(
        ("override", "field", "what"),
        [
            ("seed", "--set", "not key.path=value"),
            ("=3", "--set", "not key.path=value"),
            ("seed=[", "--set", "not YAML"),
            ("seed=2024-13-45", "--set", "not YAML"),
            ("max_rejected.deep=1", "--set", "plain value"),
            ("sources.7.count=1", "--set", "no item 7"),
            ("sources.-1.count=1", "--set", "no item -1"),
            ("sources.².count=1", "--set", "no item ²"),
            ("sources.0=x", "--set", "list item"),
            ("seed=many", "seed", "valid integer"),
            ("completion.rollouts=many", "completion.rollouts", "valid integer"),
            ("completion.rolouts=3", "completion.rolouts", "no such setting"),
            ("nope.a=1", "nope", "no such setting"),
            ("sources.0.count=0", "sources.0.count", "greater than"),
        ],
    )
    def test_a_wrong_one_is_named(self, override: str, field: str, what: str, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=what) as e:
            config(tmp_path, SOURCES + "max_rejected: 0.5\n", overrides=(override,))
        assert e.value.field == field
        assert e.value.file in (None, "command line")

    def test_a_fault_of_the_file_is_not_laid_on_the_command_line(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput) as e:
            config(
                tmp_path, SOURCES + "completion:\n  rollouts: x\n", overrides=("completion.temperature=1",)
            )
        assert (e.value.file, e.value.line) == (tmp_path / "own.yaml", 4)


class TestSources:
    def test_they_replace_the_configured_ones(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        done = config(tmp_path, sources=("seeds=a=b.jsonl", "traces=/data/t.parquet"))
        assert [(s.kind, s.path) for s in done.sources if isinstance(s, FileSource)] == [
            ("seeds", str(tmp_path / "a=b.jsonl")),
            ("traces", "/data/t.parquet"),
        ]

    def test_they_may_be_adjusted(self, tmp_path: Path) -> None:
        [source] = config(tmp_path, sources=("seeds=a",), overrides=("sources.0.roll_out=false",)).sources
        assert not source.roll_out

    @pytest.mark.parametrize("source", ["seeds", "seeds=", "=a", "families=a", "Seeds=a", ""])
    def test_a_wrong_one_is_named(self, source: str, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="KIND=PATH") as e:
            config(tmp_path, sources=(source,))
        assert e.value.field == "--source"


class TestHash:
    def hash(
        self, folder: Path, text: str = "", inputs: dict[str, str] | None = None, policy: str = "w"
    ) -> str:
        return config_hash(config(folder, SOURCES + text), inputs or {}, policy)

    def test_equal_settings_have_equal_hashes_however_written(self, tmp_path: Path) -> None:
        assert self.hash(tmp_path) == self.hash(tmp_path, "seed: 0\ncompletion: {rollouts: 8}\n")

    @pytest.mark.parametrize(
        "change",
        ["seed: 1", "completion: {stop: [x]}", "labels: {threshold: 0.5}", "search: {settings: {top_k: 2}}"],
    )
    def test_every_setting_counts(self, change: str, tmp_path: Path) -> None:
        assert self.hash(tmp_path) != self.hash(tmp_path, change + "\n")

    def test_the_weights_count(self, tmp_path: Path) -> None:
        assert self.hash(tmp_path) != self.hash(tmp_path, policy="v")

    def test_an_input_counts_by_content_and_not_by_place(self, tmp_path: Path) -> None:
        def one(path: str, digest: str) -> str:
            text = f"sources:\n- {{kind: seeds, path: {path}}}\n"
            return config_hash(config(tmp_path, text), {path: digest}, "w")

        assert one("/home/a/x.jsonl", "1") == one("elsewhere/x.jsonl", "1")
        assert one("x.jsonl", "1") != one("x.jsonl", "2")

    def test_no_path_is_kept(self, tmp_path: Path) -> None:
        text = "sources:\n- {kind: seeds, path: /home/a/x.jsonl}\npolicy: {model: /home/a/model}\n"
        kept = flat(config(tmp_path, text + "inventory: /home/a/acts.yaml\n"), {}, "w")
        assert not [value for value in kept.values() if "home" in value]
        assert kept["policy.model"] == "model w"
