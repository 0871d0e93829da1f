"""How a chain of thought is written while it is searched: as open markup, or as text; what a policy sees.

A policy that writes tags sees markup. One that doesn't sees the text alone; searched over acts, it is led
into each by an opening phrase, and the markup is kept beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import yaml

from ...schemas import MarkupError, markup

END = markup.END


@lru_cache(maxsize=1)
def openings() -> Mapping[str, str]:
    """How a thinker opens each act, for policies that know no tags: data/act_openings.yaml."""
    path = files("cotmill.data") / "act_openings.yaml"
    return {str(k): str(v) for k, v in yaml.safe_load(path.read_text(encoding="utf-8")).items()}


@dataclass(frozen=True, slots=True)
class Notation:
    """`tags`: the policy writes act tags. `marked`: bodies are markup. `separator` stands between steps."""

    tags: bool
    marked: bool
    separator: str

    @property
    def empty(self) -> str:
        """The body of a chain of thought that has not begun."""
        return markup.THINK_START if self.marked else ""

    def visible(self, body: str) -> str:
        """What the policy goes on from where it chooses itself what comes next.

        Text is left open behind its last step; in markup the policy writes what follows an act, too.
        """
        return body if self.tags else self.opened(body)

    def opened(self, body: str) -> str:
        """What the policy goes on from with a new step."""
        return (body if self.tags else text_of(body)) + self.joint(body)

    def joint(self, body: str) -> str:
        """What stands between a body and its next step."""
        return "" if body == self.empty else self.separator

    def lead(self, act: str) -> str:
        """What makes the policy perform an act next."""
        return markup.act_start(act) if self.tags else openings().get(act, "")

    def stop(self, act: str) -> str:
        """What ends an act's segment."""
        return markup.act_end(act) if self.tags else self.separator

    def said(self, act: str, written: str) -> str:
        """The text of a segment, `written` being what the policy wrote after its lead."""
        return markup.unescape(written).strip() if self.tags else (self.lead(act) + written).strip()

    def with_act(self, body: str, act: str, text: str) -> str | None:
        """The body after one more act; None where that is malformed."""
        if not self.marked:
            return self.with_step(body, text)
        return self.with_step(body, f"{markup.act_start(act)}{markup.escape(text)}{markup.act_end(act)}")

    def with_step(self, body: str, step: str) -> str | None:
        """The body after one more step, given in the body's own writing; None where that is malformed."""
        if self.marked:
            try:
                markup.parse(markup.THINK_START + step, closed=False)
            except MarkupError:
                return None
        return f"{body}{self.joint(body)}{step}"

    def closed(self, body: str) -> str:
        """The body as a whole chain of thought."""
        return body + markup.THINK_END if self.marked else body


def text_of(body: str) -> str:
    """The text of a body, as a trace made of it holds it."""
    return markup.strip_tags(body).strip() if markup.looks_like_markup(body) else body.strip()
