"""The stages of a run: each takes one shard from files to files, and may be run again at any time.

`generate`: seeds -> traces. `label`: traces -> labelled, tagged, summarised traces -> Parquet. A stage
leaves a marker with what it wrote; where the marker stands, the work is done.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..generators.assemble import decide, decide_open, seed_trace
from ..generators.completion import Cut, complete, cuts_of, merge, with_counts
from ..generators.search import Scorer, search_shard
from ..labelers.abstractive import summarise_with
from ..labelers.opinion import StepJudge
from ..labelers.rollouts import SEARCHES, label_shard
from ..labelers.round_trip import Travelled, label_round_trips
from ..labelers.summary import summarise
from ..labelers.tagger import Tagger, tag_trace
from ..models.policy import Policy
from ..models.pool import PolicyPool
from ..models.work import Work
from ..schemas import CotmillError, Inventory, SearchState, Seed, Source, Trace, unit_interval
from ..schemas.tables import search_row, step_rows, trace_row
from ..verifiers.math import MathVerifier
from ..verifiers.rubric.verifier import RubricVerifier
from .cleaning import clean_shard, sign_shard
from .config import Config
from .devices import worker_device
from .files import BadRow, quoted, write_json, write_jsonl
from .judges import open_judge
from .lean_rows import LeanRows, formalise_seeds, prove_back, reverse_lean_rows
from .policies import Served, open_policy
from .rubric import open_rubric
from .shards import write_shard
from .sources import Shard
from .totals import Totals

if TYPE_CHECKING:
    from ..models.served import ServedPolicy

WORK = ".work"


@dataclass(frozen=True)
class Job:
    """What every task of a run knows."""

    folder: str
    config: Config
    config_hash: str
    base: str
    model: str
    inventory: str | None
    served: Served | None = None
    pool: tuple[str, ...] = ()
    prm: str | None = None

    @property
    def out(self) -> Path:
        return Path(self.folder)

    @property
    def work(self) -> Path:
        return self.out / WORK

    def marker(self, stage: str, index: int) -> Path:
        return self.work / "done" / f"{stage}-{index:05d}.json"


class Workbench:
    """What a worker process sets up once for a run, and only when it is needed."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def policy_for(self, shard: Shard) -> Policy:
        """Who writes; a model server's answers go to the shard's own journal."""
        served = self._job.served
        if served is None:
            return self.policy
        self._server.journal_to(served.journal(self._job.work, shard.index))
        return self._server

    def raise_if_lost(self) -> None:
        """Raises CotmillError where the model server was lost: the shard is not finished then."""
        if "_server" in self.__dict__ and self._server.lost is not None:
            lost, self._server.lost = self._server.lost, None
            raise CotmillError(f"the model server was {lost}")

    @cached_property
    def _server(self) -> "ServedPolicy":
        from ..models.served import ServedPolicy

        served = self._job.served
        assert served is not None
        return ServedPolicy(served.settings, served.server)

    @cached_property
    def policy(self) -> Policy:
        """The local policy."""
        return self._open(self._job.model)

    @property
    def writer(self) -> Policy:
        """The run's policy, local or served."""
        return self.policy if self._job.served is None else self._server

    def searchers(self, policy: Policy) -> Policy:
        """The policy with the pool's further models behind it."""
        return PolicyPool((policy, *self._others)) if self._job.pool else policy

    @cached_property
    def _others(self) -> list[Policy]:
        return [self._open(model) for model in self._job.pool]

    def _open(self, model: str) -> Policy:
        settings = self._job.config.policy
        return open_policy(model, device=worker_device(settings.device), batch_rows=settings.batch_rows)

    @cached_property
    def scorer(self) -> Scorer | None:
        """The judge of the search's candidates, where one is configured."""
        if self._job.prm is None:
            return None
        from ..generators.search.judges import prm_scorer
        from ..models.network import RewardModel

        device = worker_device(self._job.config.policy.device)
        return prm_scorer(RewardModel.load(self._job.prm, device))

    @cached_property
    def judge(self) -> StepJudge | None:
        """Who gives a second opinion on labelled traces, where one is wanted."""
        return open_judge(self._job.config, Path(self._job.base), self.writer)

    @cached_property
    def rubric(self) -> RubricVerifier | None:
        """Who judges the traces of open questions, where they are judged."""
        return open_rubric(self._job.config, Path(self._job.base), self.writer)

    def spent(self) -> tuple[Work, Counter[str]]:
        """What local policies computed and what the server counted, since this worker began."""
        work, tokens = Work(), Counter[str]()
        judges = (getattr(self.__dict__.get(who), "policy", None) for who in ("judge", "rubric"))
        policies = (self.__dict__.get("policy"), *self.__dict__.get("_others", ()), *judges)
        for opened in {id(policy): policy for policy in policies}.values():
            work += getattr(opened, "work", Work())
        if "_server" in self.__dict__:
            usage = self._server.usage
            tokens.update(prompt=usage.prompt_tokens, completion=usage.completion_tokens)
        return work, tokens

    @cached_property
    def verifier(self) -> MathVerifier:
        return MathVerifier()

    @cached_property
    def inventory(self) -> Inventory:
        path = self._job.inventory
        return Inventory.load(Path(path) if path else None)

    @cached_property
    def tagger(self) -> Tagger:
        return Tagger.load(inventory=self.inventory)


_workbench = lru_cache(maxsize=1)(Workbench)


def run_stage(stage: str, job: Job, shard: Shard) -> int:
    """Run one stage on one shard unless its marker stands; returns the shard's number."""
    marker = job.marker(stage, shard.index)
    if not marker.exists():
        bench = _workbench(job)
        engine, usage = bench.spent()
        result = _STAGES[stage](job, shard, bench)
        bench.raise_if_lost()
        if "totals" in result:
            more, later = bench.spent()
            spent = Totals(engine=_counts(more - engine), server=_counts(later - usage))
            totals = Totals.model_validate(result["totals"]).add(spent)
            result["totals"] = totals.model_dump(mode="json")
        write_json(marker, result)
    return shard.index


def _generate(job: Job, shard: Shard, bench: Workbench) -> dict[str, Any]:
    """Traces and searched states of one shard, as JSON lines."""
    totals = Totals(seeds=shard.rows)
    states: list[SearchState] = []
    if shard.kind == "code":
        traces = _reverse_code(job, shard, bench, totals)
    elif shard.kind == "lean":
        traces, states = _reverse_lean(job, shard, bench, totals)
    else:
        traces, states = _complete(job, shard, bench, totals)
    write_jsonl(_traces_path(job, shard), (t.model_dump(mode="json") for t in traces))
    write_jsonl(_states_path(job, shard), (s.model_dump(mode="json") for s in states))
    return {"totals": totals.model_dump(mode="json")}


def _complete(
    job: Job, shard: Shard, bench: Workbench, totals: Totals
) -> tuple[list[Trace], list[SearchState]]:
    config = job.config
    seeds = [_tagged(seed, bench.tagger) for seed in _seeds(job, shard)]
    own = decide(map(seed_trace, seeds), bench.verifier)
    if not shard.roll_out:
        return own, []
    policy = bench.policy_for(shard)
    imported = shard.kind == "traces"
    # A search for the first error asks about an imported trace itself; here its question is tried.
    searched_for = imported and config.labels.method in SEARCHES
    cuts = [
        Cut(seed, trace, [0])
        if searched_for
        else cuts_of(seed, trace, from_question=config.completion.from_question and not imported)
        for seed, trace in zip(seeds, own, strict=True)
    ]
    done = complete(cuts, policy, bench.verifier, config.completion, config.seed)
    own = [with_counts(t, c) for t, c in zip(own, done.counts, strict=True)]
    totals.sampled, totals.tokens = done.rollouts, done.tokens
    share = config.search.share if shard.kind == "seeds" else 0.0
    searched = [s for s in seeds if unit_interval(config.seed, s.seed_id, "search") < share]
    found = search_shard(
        searched,
        bench.searchers(policy) if searched else policy,
        bench.verifier,
        config.search.settings,
        config.seed,
        scorer=bench.scorer if searched else None,
        inventory=bench.inventory,
    )
    formal = _formalise(job, shard, seeds, policy)
    sources = {s.seed_id: s.source for s in seeds}
    failed = [(sources[i], f"search: {why}", i) for i, why in found.stats.failed]
    _reject(job, shard, totals, [*failed, *formal.rejected])
    totals.sampled += formal.sampled
    totals.tokens += found.stats.tokens + formal.tokens
    states = [*found.states, *formal.states]
    totals.search_states = len(states)
    traces = merge([*own, *done.traces, *found.traces, *formal.traces])
    return (decide_open(traces, bench.rubric) if bench.rubric else traces), states


def _formalise(job: Job, shard: Shard, seeds: list[Seed], policy: Policy) -> LeanRows:
    """A share of the seeds, stated and proved in Lean."""
    share = job.config.reverse.lean.formalise.share if shard.kind == "seeds" else 0.0
    chosen = [s for s in seeds if unit_interval(job.config.seed, s.seed_id, "formalise") < share]
    return formalise_seeds(chosen, policy, job.config) if chosen else LeanRows()


def _reverse_code(job: Job, shard: Shard, bench: Workbench, totals: Totals) -> list[Trace]:
    """CoTs behind programs; what cannot be reversed is written to `rejected/` with its reason."""
    from ..generators.code_reverse import read_code_row, reverse_all

    rows = list(_rows(_seeds_path(job, shard)))
    sources = [Source.model_validate(row["source"]) for row in rows]
    seeds = [read_code_row(row["row"], source) for row, source in zip(rows, sources, strict=True)]
    settings = job.config.reverse
    policy = bench.policy_for(shard) if settings.writer != "grammar" else None
    done = reverse_all(seeds, job.config.seed, settings.writer, policy, settings.asked)
    totals.sampled = done.sampled
    totals.tokens = done.tokens
    _reject(job, shard, totals, [(sources[i], why, rows[i]["row"]) for i, why in done.rejected])
    return merge(done.traces)


def _reverse_lean(
    job: Job, shard: Shard, bench: Workbench, totals: Totals
) -> tuple[list[Trace], list[SearchState]]:
    """CoTs behind proofs, and searched states; what cannot be reversed is written to `rejected/` with its
    reason.
    """
    rows = list(_rows(_seeds_path(job, shard)))
    sources = [Source.model_validate(row["source"]) for row in rows]
    settings = job.config.reverse
    policy = bench.policy_for(shard) if settings.samples("lean") else None
    pairs = [(row["row"], source) for row, source in zip(rows, sources, strict=True)]
    done = reverse_lean_rows(pairs, settings, job.config.seed, policy)
    totals.sampled, totals.tokens = done.sampled, done.tokens
    totals.search_states = len(done.states)
    _reject(job, shard, totals, done.rejected)
    return merge(done.traces), done.states


def _reject(job: Job, shard: Shard, totals: Totals, rows: list[tuple[Source, str, object]]) -> None:
    """Write down and count what could not be taken: where it came from, why, and what it was."""
    rejected = [BadRow(source.row, why, raw=quoted(raw)).as_row(source.name) for source, why, raw in rows]
    if rejected:
        write_jsonl(job.out / "rejected" / f"generate-{shard.index:05d}.jsonl", rejected)
    totals.rejected = dict(Counter(why.partition(":")[0] for _, why, _ in rows))


def _label(job: Job, shard: Shard, bench: Workbench) -> dict[str, Any]:
    """Labels, tags and summaries for one shard's traces, and its Parquet files."""
    config = job.config
    totals = Totals()
    traces = [Trace.model_validate(row) for row in _rows(_traces_path(job, shard))]
    states = [SearchState.model_validate(row) for row in _rows(_states_path(job, shard))]
    if shard.kind in ("seeds", "traces") and shard.roll_out:
        # Imported traces are labelled themselves, when they are completed; what continues them is not.
        none = {"wrong_per_seed": 0, "right_per_seed": 0} if shard.kind == "traces" else {}
        done = label_shard(
            list(_seeds(job, shard)),
            traces,
            bench.policy_for(shard),
            bench.verifier,
            config.labels.model_copy(update=none),
            config.seed,
            stop=config.completion.stop,
            judge=bench.judge,
        )
        traces = done.traces
        totals.label_rollouts = totals.sampled = done.rollouts
        totals.tokens = done.tokens
    if shard.kind in ("code", "lean") and config.reverse.round_trip.rollouts:
        trips = _round_trips(config, traces, bench.policy_for(shard), shard.kind)
        traces = trips.traces
        totals.label_rollouts = totals.sampled = trips.rollouts
        totals.tokens = trips.tokens
    traces = [_finished(t, bench.tagger, job) for t in _grouped(traces)]
    if config.summary.kind == "abstractive":
        told = [t for t in traces if t.text]
        summaries, tokens = summarise_with(bench.policy_for(shard), told, config.summary, config.seed)
        by_id = dict(zip((t.trace_id for t in told), summaries, strict=True))
        traces = [t.model_copy(update={"summary": by_id.get(t.trace_id)}) for t in traces]
        totals.tokens += tokens
    totals.count(traces)
    totals.hold_against_truth(traces, config.labels.threshold)
    tables = {
        "traces": [trace_row(t) for t in traces],
        "steps": [row for t in traces for row in step_rows(t, config.labels.threshold)],
        "search": [search_row(s) for s in states],
    }
    files = [
        file.model_dump()
        for name, rows in tables.items()
        for file in write_shard(job.out, name, shard.index, rows, config.shards.validation_share)
    ]
    return {"totals": totals.model_dump(mode="json"), "files": files}


def _round_trips(config: Config, traces: list[Trace], policy: Policy, kind: str) -> Travelled:
    """From CoTs back to what they were derived from, and how often that still holds."""
    settings = config.reverse.round_trip
    if kind == "lean":
        return prove_back(traces, policy, config)
    from ..verifiers.code import CodeVerifier

    with CodeVerifier(jobs=1) as verifier:
        return label_round_trips(traces, policy, verifier, settings, config.seed)


def _counts(spent: Work | Counter[str]) -> dict[str, int]:
    counts = asdict(spent) if isinstance(spent, Work) else dict(spent)
    return {name: n for name, n in counts.items() if n}


_STAGES: dict[str, Callable[[Job, Shard, Workbench], dict[str, Any]]] = {
    "generate": _generate,
    "label": _label,
    "sign": lambda job, shard, _: sign_shard(job, shard),
    "clean": lambda job, shard, _: clean_shard(job, shard),
}


def _tagged(seed: Seed, tagger: Tagger) -> Seed:
    if seed.acts or not seed.text:
        return seed
    return seed.model_copy(update={"acts": tag_trace(seed_trace(seed), tagger).acts})


def _finished(trace: Trace, tagger: Tagger, job: Job) -> Trace:
    trace = tag_trace(trace, tagger)
    provenance = trace.provenance.model_copy(
        update={"config_hash": job.config_hash, "code_version": __version__}
    )
    return trace.model_copy(
        update={"summary": summarise(trace) if trace.text else None, "provenance": provenance}
    )


def _grouped(traces: list[Trace]) -> list[Trace]:
    """Seed by seed, the seed's own trace first, then by id."""
    order = {seed_id: i for i, seed_id in enumerate(dict.fromkeys(t.seed_id for t in traces))}
    return sorted(traces, key=lambda t: (order[t.seed_id], t.trace_id != t.seed_id, t.trace_id))


def _seeds(job: Job, shard: Shard) -> Iterator[Seed]:
    for row in _rows(_seeds_path(job, shard)):
        yield Seed.model_validate(row)


def _seeds_path(job: Job, shard: Shard) -> Path:
    return job.work / "seeds" / f"{shard.index:05d}.jsonl"


def _traces_path(job: Job, shard: Shard) -> Path:
    return job.work / "generated" / f"{shard.index:05d}.traces.jsonl"


def _states_path(job: Job, shard: Shard) -> Path:
    return job.work / "generated" / f"{shard.index:05d}.states.jsonl"


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
