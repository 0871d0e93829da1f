"""Content-hash ids, and the keys from which every random draw comes."""

import hashlib

import numpy as np

Part = str | int | float | None


def content_hash(*parts: Part) -> str:
    """32 hex digits that depend on every part, on their types and on their order (BLAKE2b, 128 bit)."""
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        # Not repr for texts: what it escapes depends on Python's Unicode version.
        kind, text = ("s", part) if isinstance(part, str) else ("n", repr(part))
        data = text.encode("utf-8", "surrogatepass")
        h.update(f"{kind}{len(data)}:".encode())
        h.update(data)
    return h.hexdigest()


def rng_key(run_seed: int, record_id: str, purpose: str, index: int = 0) -> str:
    """The key of one random draw. Equal keys draw equally, whatever ran before or beside them."""
    return content_hash("rng", run_seed, record_id, purpose, index)


def generator(key: str) -> np.random.Generator:
    """A counter-based generator (Philox) owned by `key`."""
    return np.random.Generator(np.random.Philox(key=int(content_hash(key), 16)))


def unit_interval(*parts: Part) -> float:
    """A number in [0, 1) decided by the parts alone: how a seed's split is drawn."""
    return int(content_hash(*parts)[:13], 16) / 16**13
