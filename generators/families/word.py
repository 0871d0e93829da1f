"""Multi-step word problems: somebody has things, and things happen to them."""

import re

from .chart import Chart
from .draws import Draw
from .expressions import Expr, Num, Op, evaluate, show
from .moves import Move, Tell, tree_moves
from .problem import Problem, Remark, Value, first_match, pattern

NAME = "word"
NAMES = ("Tom", "Ann", "Ben", "Eva", "Max", "Zoe", "Leo", "Ivy", "Sam", "Kim", "Dan", "Joe")
ITEMS = ("apples", "coins", "books", "cards", "pens", "eggs", "shells", "stamps")

_STARTS = (
    "{name} has {n} {items}.",
    "{name} starts with {n} {items}.",
    "There are {n} {items} in {name}'s bag.",
    "At first {name} owns {n} {items}.",
)
# What happens, as (sign, whether a product of two numbers is added or taken, sentence).
_EVENTS = (
    ("+", "{name} buys {n} more."),
    ("+", "{name} finds {n} more."),
    ("+", "{name} gets {n} from a friend."),
    ("-", "{name} gives away {n}."),
    ("-", "{name} loses {n}."),
    ("-", "{name} sells {n}."),
    ("+*", "{name} buys {k} boxes of {n}."),
    ("+*", "{name} finds {k} bags with {n} each."),
    ("-*", "{name} sells {k} bags of {n}."),
    ("-*", "{name} gives {n} to each of {k} friends."),
    ("*", "Then {name} has {n} times as many."),
    ("/", "{name} shares them equally among {n} friends."),
)
_ENDS = (
    "How many {items} are there now?",
    "How many {items} does {name} have now?",
    "Find the number of {items}.",
    "What is the number of {items} in the end?",
)
_SHARED = "How many {items} does each friend get?"
_MORE = "How many more {items} does {name} have than {other}?"
_MOST_SENTENCES = 12
_LIMIT = {1: 20, 2: 60, 3: 99}


class WordProblem(Problem):
    def __init__(self, question: str, tree: Op, name: str, items: str, other: str | None) -> None:
        super().__init__(question, str(evaluate(tree)), Chart.of(tree))
        self.tree, self.name, self.items, self.other = tree, name, items, other

    def remarks(self) -> tuple[Remark, ...]:
        first: Expr = self.tree
        while isinstance(first, Op):
            first = first.left
        fields: dict[str, Value] = {"items": self.items, "name": self.name, "n": first.value}
        return (
            Remark("RephraseTarget", "target", "We want the number of {items}", fields),
            Remark("RephraseTarget", "target", "Count the {items}", fields),
            Remark("NoteGiven", "given", "{name} has {n} {items} at first", fields),
            Remark("NoteGiven", "given", "We start from {n} {items}", fields),
        )

    def plan(self) -> str:
        return show(self.tree)

    def moves(self, draw: Draw) -> list[Move]:
        moves = tree_moves(self.tree)
        last = moves[-1]
        if self.other and len(last.needs) == 2 and draw.chance(0.3):
            one, two = last.needs
            moves.insert(-1, Tell("Compare", "more", last.needs, f"{{{one}}}>{{{two}}}"))
        return moves


def draw(d: Draw, level: int) -> str:
    """A question of the given level."""
    name, other = d.some(NAMES, 2)
    items = d.pick(ITEMS)
    limit = _LIMIT[level]
    if level == 3 and d.chance(0.4):
        mine, n = _story(d, name, items, limit, 2)
        theirs, m = _story(d, other, items, limit, 1)
        if n == m:
            return draw(d, level)
        name, other = (name, other) if n > m else (other, name)
        return " ".join([*mine, *theirs, _MORE.format(items=items, name=name, other=other)])
    story, n = _story(d, name, items, limit, d.between(level, level + 1))
    parts = [k for k in range(2, 10) if n % k == 0 and n > k]
    if level > 1 and parts and d.chance(0.4):
        story.append(_EVENTS[-1][1].format(name=name, n=d.pick(parts)))
        return " ".join([*story, _SHARED.format(items=items)])
    return " ".join([*story, d.pick(_ENDS).format(items=items, name=name)])


def _story(d: Draw, name: str, items: str, limit: int, events: int) -> tuple[list[str], int]:
    """Sentences about one person, and what that person has in the end."""
    have = d.between(limit // 5, limit // 2)
    story = [d.pick(_STARTS).format(name=name, n=have, items=items)]
    for _ in range(events):
        told = None
        while told is None:
            sign, sentence = d.pick(_EVENTS[:6] if limit == 20 else _EVENTS[:-1])
            told = _amount(d, sign, have, limit)
        k, n = told
        have = evaluate(_event(sign, Num(have), k, n)) or 0
        story.append(sentence.format(name=name, k=k, n=n))
    return story, have


def _amount(d: Draw, sign: str, have: int, limit: int) -> tuple[int, int] | None:
    """How many (k of n) an event may move so that what is left stays between 1 and the limit."""
    k = d.between(2, 9) if "*" in sign and sign != "*" else 1
    if sign == "*":
        return (1, d.between(2, min(5, limit // have))) if have * 2 <= limit else None
    most = (limit - have if sign[0] == "+" else have - 1) // k
    return (k, d.between(2, min(most, limit // 2 if k == 1 else 9))) if most >= 2 else None


def _event(sign: str, have: Expr, k: int, n: int) -> Op:
    return Op(sign[0], have, Op("*", Num(k), Num(n)) if len(sign) == 2 else Num(n))


def read(question: str) -> WordProblem | None:
    """The problem that a question is, or None."""
    sentences = re.findall(r"[^.?]+[.?]", question)
    if not 3 <= len(sentences) <= _MOST_SENTENCES or "".join(sentences) != question:
        return None
    trees: dict[str, Expr] = {}
    name = items = ""
    for sentence in (s.strip() for s in sentences[:-1]):
        if start := first_match(_STARTS, sentence):
            name, items = start["name"], start["items"]
            if name in trees:
                return None
            trees[name] = Num(int(start["n"]))
        elif event := _read_event(sentence):
            sign, fields = event
            if fields["name"] != name:
                return None
            trees[name] = _event(sign, trees[name], int(fields.get("k", "1")), int(fields["n"]))
        else:
            return None
    return _close(question, sentences[-1].strip(), trees, name, items)


def _close(question: str, end: str, trees: dict[str, Expr], name: str, items: str) -> WordProblem | None:
    other = None
    if more := pattern(_MORE).fullmatch(end):
        name, other = more["name"], more["other"]
        if {name, other} != trees.keys() or more["items"] != items:
            return None
        tree: Expr = Op("-", trees[name], trees[other])
    elif (asked := first_match((*_ENDS, _SHARED), end)) and asked["items"] == items and len(trees) == 1:
        tree = trees[name]
    else:
        return None
    if not isinstance(tree, Op) or evaluate(tree) is None:
        return None
    return WordProblem(question, tree, name, items, other)


def _read_event(sentence: str) -> tuple[str, dict[str, str]] | None:
    for sign, template in _EVENTS:
        if match := pattern(template).fullmatch(sentence):
            return sign, match.groupdict()
    return None
