"""The words everyone shares: records, thinking factors, markup, steps, labels, Arrow tables."""

from .errors import BadInput, CotmillError, MarkupError
from .factors import Factor, Inventory
from .ids import content_hash, generator, rng_key, unit_interval
from .records import (
    SCHEMA_VERSION,
    ActSpan,
    Candidate,
    Domain,
    Generator,
    Judge,
    Method,
    Origin,
    Outcome,
    Provenance,
    RoundTrip,
    SearchState,
    Seed,
    Source,
    Step,
    Trace,
    Verdict,
    trace_id,
)
from .steps import join_steps, split_steps

__all__ = [
    "SCHEMA_VERSION",
    "ActSpan",
    "BadInput",
    "Candidate",
    "CotmillError",
    "Domain",
    "Factor",
    "Generator",
    "Inventory",
    "Judge",
    "MarkupError",
    "Method",
    "Origin",
    "Outcome",
    "Provenance",
    "RoundTrip",
    "SearchState",
    "Seed",
    "Source",
    "Step",
    "Trace",
    "Verdict",
    "content_hash",
    "generator",
    "join_steps",
    "rng_key",
    "split_steps",
    "trace_id",
    "unit_interval",
]
