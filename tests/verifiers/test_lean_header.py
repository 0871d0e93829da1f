"""The imports of a Lean file, whatever stands around them."""

import pytest
from cotmill.verifiers.lean.header import imports


def modules(code: str) -> list[str]:
    return [found[1] for found in imports(code)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import Init", ["Init"]),
        ("\n\n-- a\nimport A.B\n/- b -/ import «C».E\n", ["A.B", "«C».E"]),
        ("/- a /- import X -/ import Y -/ import Z", ["Z"]),
        ("public import A meta import B", ["A", "B"]),
        ("/-- import A -/ theorem t : True := trivial\nimport B", []),
        ("theorem import : True := trivial", []),
        ("/- never closed import A", []),
        ("", []),
    ],
)
def test_imports_are_found_before_the_first_declaration(code: str, expected: list[str]) -> None:
    assert modules(code) == expected


@pytest.mark.parametrize("piece", ["\n", " ", "/- a -/", "/-", "-- a\n", "public "])
def test_a_long_header_is_no_trap(piece: str) -> None:
    assert modules(f"{piece * 5000}theorem t : True := trivial") == []
