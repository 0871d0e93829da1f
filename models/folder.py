"""Model folders: finding, opening and hashing them. A hub name becomes the folder it is cached in."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..schemas import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_SETTINGS = ("*.json", "*.jinja", "*.txt")
_OTHERS = ("tokenizer*", "*.model", "vocab.*", "merges.txt", "config.json", "special_tokens_map.json")


def local_folder(path_or_name: str) -> Path:
    """The folder of a path or hub name, downloaded where it is not cached; raises BadInput."""
    folder = Path(path_or_name)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                path_or_name, allow_patterns=[*_WEIGHTS, *_OTHERS, "*.json", "*.jinja", "*.txt"]
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as e:
        raise BadInput(
            f"neither a model folder nor a model that the hub gives ({_line(e)})", file=path_or_name
        ) from e


def model_name(path_or_name: str) -> str:
    """What a reader knows it by: a folder's own name, or the hub name as it is."""
    folder = Path(path_or_name)
    return folder.resolve().name if folder.is_dir() else path_or_name


def pick_device(device: str) -> "torch.device":
    """`auto` is CUDA where there is one. Raises BadInput for a device that is not there."""
    import torch

    if device not in ("auto", "cpu", "cuda") and not device.startswith("cuda:"):
        raise BadInput(f"device '{device}' is none of auto, cpu, cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput("device 'cuda' was asked for, but torch finds no CUDA device here; use --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def load_model(folder: Path, device: str = "auto", dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
    """The folder's causal LM in evaluation mode; by default bfloat16 on CUDA, float32 elsewhere.

    Raises BadInput for a folder that holds none, or a device that is not there.
    """
    import torch
    from transformers import AutoModelForCausalLM

    where = pick_device(device)
    dtype = dtype or (torch.bfloat16 if where.type == "cuda" else torch.float32)
    try:
        with quiet():
            model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype)
    except Exception as e:  # anything at all may be in a folder
        raise BadInput(f"holds no causal LM that transformers opens ({_line(e)})", file=folder) from e
    loaded: PreTrainedModel = model.to(where).eval()
    return loaded


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The folder's tokenizer; raises BadInput where there is none, or one without offsets (a slow one)."""
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder))
    except Exception as e:
        raise BadInput(f"holds no tokenizer that transformers opens ({_line(e)})", file=folder) from e
    if not tokenizer.is_fast:
        raise BadInput("its tokenizer gives no character offsets: a fast one is needed", file=folder)
    return tokenizer


def stored_dtype(model: "PreTrainedModel") -> torch.dtype | None:
    """The type that the model's weights have in its folder, where its configuration says so."""
    config = Path(str(model.name_or_path)) / "config.json"
    try:
        stored = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    dtype = getattr(torch, str(stored.get("dtype") or stored.get("torch_dtype")), None)
    return dtype if isinstance(dtype, torch.dtype) else None


def save_model(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, dtype: torch.dtype | None
) -> None:
    """Write a Hugging Face folder; floating-point weights in `dtype`, or as they are."""
    weights: dict[str, Any] = dict(model.state_dict())
    if dtype is not None:
        weights = {name: w.to(dtype) if w.is_floating_point() else w for name, w in weights.items()}
    with quiet():
        model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    if dtype is not None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["dtype"] = str(dtype).removeprefix("torch.")
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def content_hash_of(folder: Path) -> str:
    """32 hex digits over the names and bytes of the folder's weights, configuration and tokenizer."""
    files = sorted({p for pattern in (*_WEIGHTS, *_OTHERS) for p in folder.glob(pattern)})
    whole = hashlib.blake2b(digest_size=16)
    for file in files:
        with file.open("rb") as f:
            digest = hashlib.file_digest(f, lambda: hashlib.blake2b(digest_size=32)).digest()
        whole.update(file.name.encode() + b"\0" + digest)
    return whole.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars: loading a model is no stage of ours."""
    from transformers.utils import logging

    log: Any = logging
    shown = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            log.enable_progress_bar()


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
