"""Where and how a worker process opens its models."""


def worker_device(device: str) -> str:
    """`device` as this process is to have it: of several GPUs each local worker takes one, in turn.

    With it the process takes one torch thread, since the last bits of logits depend on how many there are.
    A worker of a cluster of one's own keeps what it sees: whoever started it (dask-cuda, a Slurm script) has
    given it its GPU through CUDA_VISIBLE_DEVICES.
    """
    import torch

    torch.set_num_threads(1)
    if device == "cpu":
        return device
    from distributed import get_worker

    gpus = torch.cuda.device_count()
    try:
        name = get_worker().name
    except ValueError:  # no worker, but the main process
        return device
    return f"cuda:{name % gpus}" if gpus > 1 and isinstance(name, int) else device
