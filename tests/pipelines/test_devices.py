"""Several GPUs: one worker, one device."""

import pytest
import torch
from cotmill.pipelines.devices import worker_device
from distributed import Client, LocalCluster


def test_local_workers_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        LocalCluster(n_workers=3, threads_per_worker=1, processes=False, dashboard_address=None) as local,
        Client(local) as client,
    ):
        for gpus, device, expected in (
            (2, "auto", ["cuda:0", "cuda:0", "cuda:1"]),
            (2, "cpu", ["cpu"] * 3),
            (1, "cuda", ["cuda"] * 3),
            (0, "auto", ["auto"] * 3),
        ):
            monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
            tasks = [
                client.submit(worker_device, device, workers=[worker], pure=False)
                for worker in client.scheduler_info()["workers"]
            ]
            assert sorted(client.gather(tasks)) == expected


def test_the_main_process_keeps_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert worker_device("cuda") == "cuda"
