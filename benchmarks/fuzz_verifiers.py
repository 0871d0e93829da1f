"""The verifiers under inputs that nobody would write: what raises, is not symmetric, or takes too long.

    python benchmarks/fuzz_verifiers.py [INPUTS] [SEED]

100,000 inputs for the math verifier, in pairs: shapes of real answers, mutated, spliced and nested; LaTeX
fragments; huge numbers; random Unicode and bytes. Each pair is judged in both orders, and each answer
against itself. Two thousand inputs go through what the code verifier reads (rows and programs; nothing is
run), and two thousand through rubrics and judges' replies.
"""

import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from cotmill.schemas import BadInput, Outcome, generator, rng_key
from cotmill.verifiers.answers import extract_answer
from cotmill.verifiers.math import MathVerifier
from cotmill.verifiers.programs import Task, assemble, extract_program
from cotmill.verifiers.rubric.criteria import Rubric
from cotmill.verifiers.rubric.reply import addresses_judge, read_preferences, read_scores

INPUTS, SIDE_INPUTS = 100_000, 2_000
LIMIT_S = 2.0


def listed(text: str, separator: str | None = None) -> list[str]:
    return [part for part in text.strip().replace("\n", separator or " ").split(separator) if part]


SHAPES = listed(
    r"""
42  -7  1,234  3.14  1.5e-3  \$18.90  20\%  2\frac{1}{2}  0.\overline{3}
1011_2  \frac{3}{4}  \sqrt{2}  3^{32}
2/3  10!  x^2+2x+1  \frac{x+1}{x-1}  (-\infty, 3]  [2,5)\cup(7,\infty)  \{1,2,3\}  (1,2,3)  x=5  y = 3x + 2
-1<x\le 4  1\pm\sqrt{3}  \begin{pmatrix}1&2\\3&4\end{pmatrix}  3+2i  e^{i\pi}  \sin 2x  \log_2 8  45^\circ
5 \text{ cm}  60 mph  \text{Monday}  (B)  \binom{5}{2}  \left|x\right|  \lfloor 3.7\rfloor  3:4
x \in \mathbb{R}  2 \text{ or } 3  a, b, c  7 \pmod{12}  \frac{1}{1+\frac{1}{x}}  \tan^{-1} x  |x-1|<2
x^2+y^2=1  \infty  \emptyset  The answer is 5.  So $x = \boxed{7}$.
#### 18  It is Monday.  Order: D, S, W  He pays $20 + $4 = $24.
(A) 3, so (C)
""",
    "  ",
)
BRACKETS = listed(r"(~) {~} \frac{~}{2} \sqrt{~} x^{~} [~) \left(~\right) -~ |~| \{~\} \text{~} \sin~")
HUGE = listed(
    r"D 0.D -D/N N^{N} N! N!! 10^{N} 1eN N^{N^{N}} \binom{N}{D} \binom{N}{9} \sqrt[N]{D} \log(D) "
    r"0.\overline{N} e^{N} \sin(D) N\pi+D \frac{D}{N} D,N D_{N} \gcd(D,N)"
)
JOINTS = listed(r"+ - * / ^ , ; = < \le \cup \cdot : ( \text{and} \pm")
FRAGMENTS = listed(r"""
\frac \sqrt { } ( ) [ ] \{ \} \left( \right] ^ _ & \\ $ \boxed{ \text{ \pm \cup \infty , ; : | ! % = < \le
\begin{pmatrix} \end{pmatrix} \overline \circ . - + * / \cdot i e \pi x 0 9 1e 10^ \log \det \sum \int \mod
and or #### <Think_Start> <|im_end|> the answer is ½ √ ² −
""")
CODE_PIECES = [
    "def f(x):\n", "    return x\n", "```python\n", "```", '{"tests": "', '"cases": [', "assert f(1) == 1",
    "]}", "}", '"', "\\", "\n", "(" * 50, "0" * 5000, ">>> f(1)", "\ud800",
]  # fmt: skip
CODE_COLUMNS = listed("tests test test_list setup test_setup_code cases entry_point prompt")
CODE_VALUES = [
    None,
    1,
    "",
    "assert f(1) == 1",
    ["assert f(1)"],
    [None],
    {},
    [{"stdin": "1", "stdout": 2}],
    [{}],
    True,
]
RUBRIC_TEXT = """# Title
Pass: 0.5
## Safe (weight 2)
Is it?
- 0: no
- 1: yes
## Kind
- 0: no
- 2: yes"""
RUBRIC_PIECES = [
    *RUBRIC_TEXT.split("\n"), "Pass: x", "* 2:", "<verdict w>", "</verdict w>", "Safe | 1 | a text to judge",
    "Kind | 2 | none", "Kind | 0 | none", "|", "\u2028",
]  # fmt: skip
RUBRIC = Rubric.parse(RUBRIC_TEXT)


def characters(rng: np.random.Generator, length: int) -> str:
    """Random code points: any, or those of one neighbourhood (so that combining marks and scripts meet)."""
    start = int(rng.integers(0, 0x110000)) if rng.random() < 0.5 else int(rng.choice([0x20, 0x2000, 0x2200]))
    width = 0x110000 if rng.random() < 0.3 else 128
    return "".join(chr((start + int(d)) % 0x110000) for d in rng.integers(0, width, length))


def raw(rng: np.random.Generator, length: int) -> str:
    """Random bytes as a reader may hand them on: with surrogates, replaced, or as Latin-1."""
    data = rng.bytes(length)
    how = int(rng.integers(3))
    return data.decode(*(("utf-8", "surrogateescape"), ("utf-8", "replace"), ("latin-1", "strict"))[how])


def nested(rng: np.random.Generator) -> str:
    opening, _, closing = BRACKETS[int(rng.integers(len(BRACKETS)))].partition("~")
    depth = int(rng.integers(1, 200))
    return opening * depth + str(rng.choice(SHAPES)) + closing * (depth - int(rng.integers(2)))


def huge(rng: np.random.Generator) -> str:
    digits = "".join(map(str, rng.integers(0, 10, int(rng.integers(1, 700)))))
    n = str(rng.integers(2, 10**6))
    return HUGE[int(rng.integers(len(HUGE)))].replace("D", digits).replace("N", n)


def mutated(rng: np.random.Generator, text: str) -> str:
    """A few random edits: a character dropped, doubled, replaced or moved, a fragment put in."""
    chars = list(text)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(chars) + 1))
        how = int(rng.integers(5))
        if how == 0:
            chars[at : at + 1] = []
        elif how == 1:
            chars[at:at] = chars[at : at + 3]
        elif how == 2:
            chars[at : at + 1] = [characters(rng, 1)]
        elif how == 3:
            chars[at:at] = [FRAGMENTS[int(rng.integers(len(FRAGMENTS)))]]
        else:
            chars = chars[at:] + chars[:at]
    return "".join(chars)


def spliced(rng: np.random.Generator, pieces: list[str], longest: int) -> str:
    joint = ("", " ", "\n")[int(rng.integers(3))]
    return joint.join(pieces[int(i)] for i in rng.integers(0, len(pieces), int(rng.integers(1, longest))))


def answer(rng: np.random.Generator) -> str:
    how = int(rng.integers(12))
    if how < 2:
        return mutated(rng, str(rng.choice(SHAPES)))
    if how < 7:
        parts = [str(rng.choice(SHAPES)) for _ in range(int(rng.integers(1, 4)))]
        return f" {rng.choice(JOINTS)} ".join(parts)
    if how == 7:
        return spliced(rng, FRAGMENTS, 12)
    if how == 8:
        return nested(rng)
    if how == 9:
        return huge(rng)
    length = int(rng.integers(0, 60))
    return characters(rng, length) if how == 10 else raw(rng, length)


def pair(rng: np.random.Generator) -> tuple[str, str]:
    """Two inputs: independent, or one a mutation or a respelling of the other."""
    a = answer(rng)
    how = int(rng.integers(4))
    return a, (answer(rng) if how < 2 else mutated(rng, a) if how == 2 else f"\\boxed{{{a} + 0}}")


class Counts(Counter[str]):
    """How often what happened; the first examples of what must not happen are printed."""

    def fault(self, what: str, *inputs: object) -> None:
        self[what] += 1
        if self[what] <= 10:
            print(f"{what}: {inputs!r:.400}", file=sys.stderr)


def math(rng: np.random.Generator, inputs: int, counts: Counts) -> None:
    with MathVerifier(LIMIT_S) as verifier:
        for number in range(inputs // 2):
            a, b = pair(rng)
            try:
                found = extract_answer(a)
                one, other = verifier.verify(a, b), verifier.verify(b, a)
                # Equal texts are equal before any algebra: a respelling makes the algebra say it.
                own = verifier.verify(f"\\boxed{{{found}}}", f"\\boxed{{\\displaystyle {found}}}")
                has_both = found is not None and extract_answer(b) is not None
            except Exception as error:
                counts.fault("exceptions", error, a, b)
                continue
            counts[one.outcome] += 1
            if has_both and one.outcome is not other.outcome:
                counts.fault("asymmetries", a, b, one, other)
            if found is not None and own.outcome is Outcome.WRONG:
                counts.fault("not reflexive", a, own)
            reasons = one.reason + other.reason + own.reason
            if "limit (" in reasons or "process ended" in reasons or "memory limit" in reasons:
                counts.fault("over limit", a, b, reasons)
            if number % 5000 == 4999:
                print(f"{2 * number + 2:,} inputs", file=sys.stderr)
        counts["algebra restarts"] = verifier.restarts


def code(rng: np.random.Generator, inputs: int, counts: Counts) -> None:
    def value() -> object:
        return CODE_VALUES[int(rng.integers(len(CODE_VALUES)))]

    for _ in range(inputs):
        text, reference = (
            spliced(rng, CODE_PIECES, 9) if rng.random() < 0.8 else raw(rng, 80) for _ in range(2)
        )
        if rng.random() < 0.6:
            columns = rng.permutation(CODE_COLUMNS)[: int(rng.integers(1, 5))]
            reference = json.dumps({str(column): value() for column in columns} | {"prompt": reference})
        try:
            assemble(Task.read(reference), extract_program(text))
            counts["rows taken"] += 1
        except ValueError:
            counts["rows refused"] += 1
        except Exception as error:
            counts.fault("exceptions", error, text, reference)


def rubric(rng: np.random.Generator, inputs: int, counts: Counts) -> None:
    for _ in range(inputs):
        text = RUBRIC_TEXT if rng.random() < 0.5 else spliced(rng, RUBRIC_PIECES, 12)
        text = mutated(rng, text) if rng.random() < 0.8 else raw(rng, 120)
        try:
            addresses_judge(text, RUBRIC)
            for reply in (text, f"<verdict w>{text}</verdict w>"):
                read_scores(reply, "w", RUBRIC, "It is a text to judge.")
                read_preferences(reply, "w", RUBRIC, ("It is a text to judge.", text))
            Rubric.parse(text)
            counts["rubrics taken"] += 1
        except BadInput:
            counts["rubrics refused"] += 1
        except Exception as error:
            counts.fault("exceptions", error, text)


def main() -> None:
    arguments = [int(argument) for argument in sys.argv[1:]]
    inputs, seed = (arguments + [INPUTS, 0][len(arguments) :])[:2]
    parts: list[tuple[str, Callable[[np.random.Generator, int, Counts], None], int]] = [
        ("math", math, inputs),
        ("code", code, min(inputs, SIDE_INPUTS)),
        ("rubric", rubric, min(inputs, SIDE_INPUTS)),
    ]
    rows: list[tuple[str, int, Counts, float]] = []
    for name, part, share in parts:
        counts, start = Counts(), time.perf_counter()
        part(generator(rng_key(seed, name, "fuzz")), share, counts)
        rows.append((name, share, counts, time.perf_counter() - start))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, seed {seed}\n")
    columns = ("exceptions", "asymmetries", "not reflexive", "over limit")
    print(f"{'':<8}{'inputs':>9}{'seconds':>9}" + "".join(f"{name:>15}" for name in columns))
    for name, share, counts, seconds in rows:
        print(f"{name:<8}{share:>9}{seconds:>9.0f}" + "".join(f"{counts[key]:>15}" for key in columns))
    print("\n" + "; ".join(f"{name}: " + ", ".join(_others(counts, columns)) for name, _, counts, _ in rows))
    result: dict[str, int] = {"inputs": sum(share for _, share, _, _ in rows)}
    result |= {key.replace(" ", "_"): sum(counts[key] for _, _, counts, _ in rows) for key in columns}
    print("RESULT " + json.dumps(result))


def _others(counts: Counts, columns: tuple[str, ...]) -> Iterator[str]:
    for key, value in sorted(counts.items()):
        if key not in columns:
            yield f"{key} {value}"


if __name__ == "__main__":
    main()
