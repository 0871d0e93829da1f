"""The inventory of thinking factors, shipped and one's own."""

import re
from pathlib import Path

import pytest
from cotmill.schemas import BadInput, Factor, Inventory
from pydantic import ValidationError

NAMES = {
    "understand": "RephraseTarget NoteGiven",
    "plan": "Decompose Plan",
    "recall": "Recall RecallRule",
    "explore": "Propose Alternative CaseSplit TryExample",
    "execute": "Calculate Transform Substitute Deduce Enumerate WriteCode RunCode",
    "check": "Check Estimate Compare CheckRule",
    "repair": "DetectError Correct Backtrack",
    "doubt": "Uncertain",
    "conclude": "Summarize Answer",
}


def test_the_shipped_inventory_has_the_fixed_names_and_groups_in_order() -> None:
    inventory = Inventory.load()
    assert list(inventory.names) == " ".join(NAMES.values()).split()
    assert inventory.groups == tuple(NAMES)
    for group, names in NAMES.items():
        assert {inventory.group_of(name) for name in names.split()} == {group}


@pytest.mark.parametrize("factor", Inventory.load().factors, ids=lambda f: f.name)
def test_every_act_is_defined_with_examples_and_cues(factor: Factor) -> None:
    assert factor.definition.startswith("The thinker ")
    assert 4 <= len(factor.examples) <= 8
    assert len(set(factor.examples)) == len(factor.examples)
    assert factor.cues
    for cue in factor.cues:
        re.compile(cue)


def test_no_example_stands_under_two_acts() -> None:
    examples = [e for f in Inventory.load().factors for e in f.examples]
    assert len(set(examples)) == len(examples)


def test_an_unknown_act_has_no_group() -> None:
    with pytest.raises(KeyError):
        Inventory.load().group_of("Daydream")


def test_an_own_inventory_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("factors:\n- {name: Sing, group: joy, definition: The thinker sings., cues: ['la+']}\n")
    inventory = Inventory.load(path)
    assert inventory.names == ("Sing",)
    assert inventory.group_of("Sing") == "joy"
    assert inventory.factors[0].examples == ()


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("factors: []\n", "factors"),
        ("", None),
        ("- name: Sing\n", None),
        ("factors:\n- {name: Sing, group: joy}\n", "factors.0.definition"),
        ("factors:\n- {name: 'two words', group: joy, definition: d}\n", "factors.0.name"),
        ("factors:\n- {name: under_score, group: joy, definition: d}\n", "factors.0.name"),
        ("factors:\n- {name: 'Sing\\n', group: joy, definition: d}\n", "factors.0.name"),
        ('factors:\n- {name: "Sing\\n", group: joy, definition: d}\n', "factors.0.name"),
        ("factors:\n- {name: Sing, group: joy, definition: d, color: red}\n", "factors.0.color"),
        ("factors:\n- {name: A, group: g, definition: d}\n- {name: A, group: g, definition: d}\n", "factors"),
        ("factors:\n- {name: A, group: g, definition: d, cues: [1]}\n", "factors.0.cues.0"),
        ("factors:\n- {name: A, group: g, definition: d, cues: ['(']}\n", "factors.0.cues.0"),
    ],
)
def test_a_faulty_inventory_is_reported_by_file_and_field(
    tmp_path: Path, content: str, field: str | None
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(BadInput) as caught:
        Inventory.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if field:
        assert caught.value.field == field


def test_text_that_is_no_yaml_is_reported_by_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("factors:\n- {name: [unclosed\nx: y\n")
    with pytest.raises(BadInput) as caught:
        Inventory.load(path)
    assert caught.value.line is not None


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"\x00binary", b"factors: &a [*a]\n"])
def test_binary_or_circular_content_is_bad_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        Inventory.load(path)


def test_a_missing_file_and_a_folder_are_bad_input(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(BadInput) as caught:
            Inventory.load(path)
        assert caught.value.file == path


def test_an_inventory_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Inventory.load().factors = ()  # type: ignore[misc]
