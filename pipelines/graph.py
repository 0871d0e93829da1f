"""The Dask graph: one task per shard and stage, a few in flight, files between them, small results.

Futures are dropped as soon as they are done, and a stage returns at once where its marker stands: a
worker's death repeats only the tasks that it was running.
"""

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..schemas import BadInput, CotmillError
from .sources import Shard
from .stages import Job, run_stage

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

STAGES = ("generate", "label")
IN_FLIGHT_PER_WORKER = 2

_WORKER_ENV = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


_DASK = {
    "distributed.nanny.environ": _WORKER_ENV,
    "distributed.nanny.pre-spawn-environ": _WORKER_ENV,
    # The verifiers start processes of their own, which a daemon may not.
    "distributed.worker.daemon": False,
    "distributed.scheduler.worker-saturation": 1.0,
}


@contextmanager
def cluster(workers: int, scheduler: str | None) -> Iterator["Client"]:
    """A client of local worker processes, or of a running Dask cluster (`tcp://…`)."""
    import dask
    from distributed import Client

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=20)
        except (OSError, ValueError) as e:
            raise BadInput(f"no Dask scheduler answers at {scheduler}", field="--scheduler") from e
        with client:
            if not client.scheduler_info()["workers"]:
                raise BadInput(f"the Dask cluster at {scheduler} has no worker", field="--scheduler")
            yield client
        return
    with (
        tempfile.TemporaryDirectory(prefix="cotmill-") as scratch,
        dask.config.set(_DASK),
        _local_cluster(workers, scratch) as local,
        Client(local) as client,
    ):
        yield client


def _local_cluster(workers: int, scratch: str) -> "LocalCluster":
    """Its processes inherit "ignore Ctrl-C", so that the main process alone decides what it means."""
    from distributed import LocalCluster

    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # any free port: two runs may go on side by side
            local_directory=scratch,
            silence_logs=50,
        )
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, previous)


def drive(
    client: "Client",
    job: Job,
    shards: Sequence[Shard],
    report: Callable[[str, Shard], None],
    stages: Sequence[str] = STAGES,
) -> None:
    """Take every shard through the stages; `report` hears of each (stage, shard) that is done.

    Raises CotmillError for a task that fails, naming its stage and shard; finished ones stay.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    by_key: dict[str, tuple[int, Shard]] = {}
    limit = IN_FLIGHT_PER_WORKER * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    queue = iter(shards)
    stream = as_completed()

    def submit(stage: int, shard: Shard) -> None:
        future = client.submit(
            run_stage,
            stages[stage],
            job,
            shard,
            key=f"{stages[stage]}-{shard.index:05d}-{job.config_hash}",
            priority=stage,
            pure=False,
        )
        by_key[future.key] = (stage, shard)
        stream.add(future)

    for _, shard in zip(range(limit), queue, strict=False):
        submit(0, shard)
    for future in stream:
        stage, shard = by_key.pop(future.key)
        try:
            future.result()
        except KilledWorker as e:
            raise CotmillError(
                f"stage {stages[stage]}, shard {shard.index}: its worker process died several times "
                "(out of memory?); try fewer --workers or a smaller policy.batch_rows"
            ) from e
        except CotmillError:
            raise
        except Exception as e:
            raise CotmillError(f"stage {stages[stage]}, shard {shard.index}: {type(e).__name__}: {e}") from e
        finally:
            future.release()
        report(stages[stage], shard)
        if stage + 1 < len(stages):
            submit(stage + 1, shard)
        elif (following := next(queue, None)) is not None:
            submit(0, following)
