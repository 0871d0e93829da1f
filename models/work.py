"""What sampling cost, counted by the engine as it goes."""

from dataclasses import astuple, dataclass


@dataclass(slots=True)
class Work:
    """Counts of one engine, or of several: they add up.

    Tokens: `asked` stand in the distinct prompts of each call, `prefilled` were computed ahead of sampling,
    `sampled` are in samples, `scored` in continuations (each with its prompt's last token); `computed` is
    every position that went through the model. Decoding took `steps`, with `row_steps` rows in them of
    `seats` that there was room for.
    """

    asked: int = 0
    prefilled: int = 0
    sampled: int = 0
    scored: int = 0
    computed: int = 0
    steps: int = 0
    row_steps: int = 0
    seats: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: "Work") -> "Work":
        return Work(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def occupancy(self) -> float:
        """Rows in a decode step, as a share of the rows that there was room for."""
        return self.row_steps / self.seats if self.seats else 0.0

    @property
    def reuse(self) -> float:
        """Share of prompt tokens that were not computed again."""
        return 1 - self.prefilled / self.asked if self.asked else 0.0

    @property
    def waste(self) -> float:
        """Share of computed positions that served nobody: padding, and rows gone on after their end."""
        used = self.prefilled + self.sampled + self.scored
        return 1 - used / self.computed if self.computed else 0.0
