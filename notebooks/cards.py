"""One sample as a card: a trace beside its seed, a labelled step in its context, a searched state."""

from collections.abc import Sequence

from ..pipelines.known import known
from ..schemas import ActSpan, MarkupError, Method, Origin, Outcome, Step, Trace, markup
from ..schemas.tables import Row
from . import html
from .html import esc, tag

_AGREE = {True: "judge and rollouts agree", False: "judge and rollouts disagree"}
_ENDS = {
    1: (Outcome.CORRECT, "game won"),
    -1: (Outcome.WRONG, "game lost"),
    None: (Outcome.UNDECIDED, "game undecided"),
}


def trace_card(trace: Trace, seed: Trace | None, split: str, threshold: float) -> str:
    """A trace, with its seed's CoT on the left where there is another trace with a CoT."""
    own = _steps(trace, threshold, copied=trace.prefix_steps if seed else 0)
    if seed is not None and seed.text:
        left = tag("section", tag("h5", "the seed's CoT") + _steps(seed, threshold, brief=True))
        sides = tag("div", left + tag("section", tag("h5", "this trace") + own), class_="sides")
    else:
        sides = tag("div", tag("section", own), class_="sides alone")
    badges = html.outcome(trace.outcome) + html.badge(trace.generator) + html.badge(trace.domain)
    badges += html.badge(f"sampled {trace.count} times") if trace.count > 1 else ""
    return _card(badges, trace.trace_id, trace.question, sides + _facts(trace, split))


def _card(badges: str, key: str, question: str, body: str) -> str:
    head = tag("header", badges + tag("span", esc(key[:12]), class_="id", title=key))
    return tag("article", head + tag("div", esc(question), class_="question") + body, class_="card")


def _steps(trace: Trace, threshold: float, *, brief: bool = False, copied: int = 0) -> str:
    """A trace's steps, one under another, with what is known of each; `brief` shows the acts alone."""
    if not trace.text:
        return tag("p", "no chain of thought", class_="note")
    if not trace.steps:
        return html.tagged(trace.text, trace.acts)
    found = known(trace, threshold)
    out = []
    for i, step in enumerate(trace.steps):
        parts = [
            tag("span", str(i + 1), class_="number"),
            html.tagged(trace.text, trace.acts, step.start, step.end),
        ]
        if not brief:
            parts.append(_known(step, found.hard[i], found.clean[i] if found.clean else None))
        first = i == found.first_error and not brief
        marks = {"copied": i < copied, "first": first, "truthful": found.clean is not None}
        kind = " ".join(["step", *(name for name, holds in marks.items() if holds)])
        why = "the first error: the first wrong step that is never mended" if first else ""
        out.append(tag("div", "".join(parts), class_=kind, title=why))
        if i + 1 == copied < len(trace.steps):
            out.append(tag("div", "copied from the seed up to here", class_="cut"))
    return "".join(out)


def _known(step: Step, hard: bool | None, clean: bool | None) -> str:
    labelled = hard is not None or step.method is not None or step.reason is not None
    cells = html.label(hard) + html.value(step) if labelled else "<span></span><span></span>"
    if clean is not None:
        against = hard is not None and hard != clean
        words = "✓ clean" if clean else "✗ in error"
        why = "the step checker: is an unmended error pending after this step?"
        cells += tag("span", words, class_="truth against" if against else "truth", title=why)
    return tag("div", cells, class_="known")


def _facts(trace: Trace, split: str) -> str:
    made, source = trace.provenance, trace.source
    temperature = "" if made.temperature is None else f"temperature {made.temperature}"
    parent = f"from {made.parent_id[:12]}, steps copied: {trace.prefix_steps}" if made.parent_id else ""
    row = f"row {source.row}" if source.row else ""
    facts = {
        "answer": trace.answer or "none",
        "reference": trace.reference or "none",
        "evidence": trace.evidence,
        "error": trace.error,
        "summary": trace.summary,
        "made by": ", ".join(p for p in (made.policy, made.policy_hash[:12], temperature, parent) if p),
        "verifier": made.verifier,
        "source": ", ".join(p for p in (source.name, row, source.licence, split) if p),
    }
    return _list(facts)


def _list(facts: dict[str, str | None]) -> str:
    return tag("dl", "".join(tag("dt", esc(k)) + tag("dd", esc(v)) for k, v in facts.items() if v))


def step_card(row: Row) -> str:
    """A row of `steps`: the step and its value behind what stands before it."""
    text, acts = _parsed(row["markup"], row["prefix"])
    start = len(text) - len(row["step"])
    evidence = {k: row[k] for k in ("n_rollouts", "n_correct", "judge", "reason")}
    method = Method(row["method"]) if row["method"] else None
    step = Step(start=start, end=len(text), origin=Origin.POLICY, method=method, **evidence)
    value = _known(step, row["hard"], None)
    number = tag("span", str(row["index"] + 1), class_="number")
    before = tag("div", html.tagged(text, acts, 0, start), class_="before")
    body = before + tag("div", number + html.tagged(text, acts, start) + value, class_="step")
    badges = html.badge(f"step {row['index'] + 1}")
    badges += html.badge(_AGREE[row["consensus"]]) if row["consensus"] is not None else ""
    return _card(
        badges,
        row["step_id"],
        row["question"],
        body + _list({"trace": row["trace_id"], "split": row["split"]}),
    )


def state_card(row: Row) -> str:
    """A row of `search`: each action's figures, and the candidates that were tried."""
    text, acts = _parsed(row["prefix"], row["prefix"])
    most = max(row["visits"], default=0) or 1
    rows = []
    for i, action in enumerate(row["actions"]):
        chosen = "● chosen" if action == row["chosen"] else ""
        rows.append(
            (
                html.chip(action),
                html.bar(row["prior"][i], f"{row['prior'][i]:.2f}"),
                html.bar(row["visits"][i] / most, f"{row['visits'][i]:,}"),
                html.bar(row["pi"][i], f"{row['pi'][i]:.2f}"),
                html.signed_bar(row["q"][i], f"{row['q'][i]:+.2f}") if row["visits"][i] else "untried",
                chosen,
            )
        )
    table = html.table((row["action_kind"], "prior", "visits", "pi", "q (−1 to 1)", ""), rows)
    tried = [
        (
            html.chip(c["action"]),
            html.tagged(c["text"], ()),
            "" if c["score"] is None else f"{c['score']:.2f}",
            "● chosen" if c["chosen"] else "",
        )
        for c in row["candidates"]
    ]
    candidates = (
        html.table(("candidate", "text", "score", ""), tried, title="Best of N under an action")
        if tried
        else ""
    )
    badges = html.outcome(*_ENDS[row["value"]]) + html.badge(f"move {row['depth'] + 1}")
    before = html.tagged(text, acts) if text else tag("p", "nothing is written yet", class_="note")
    facts = _list({"trace": row["trace_id"], "split": row["split"]})
    body = before + tag("div", table + candidates, class_="blocks bars") + facts
    return _card(badges, row["state_id"], row["question"], body)


def _parsed(tagged: str | None, plain: str) -> tuple[str, Sequence[ActSpan]]:
    """Text and acts of open markup; the plain text where it is none."""
    if tagged is not None:
        try:
            return markup.parse(tagged, closed=False)
        except MarkupError:
            pass
    return plain, ()
