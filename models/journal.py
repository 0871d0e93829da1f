"""A durable journal of a server's answers: what was answered once is never asked again.

One SQLite file in WAL mode, one row per answer, commits in batches. A process that is killed loses at most
the answers since its last commit: `BATCH` of them, or those of the last `SECONDS`.
"""

import json
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..schemas import CotmillError

BATCH, SECONDS = 256, 0.5
_VARIABLES = 500
_TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)"


class Journal:
    """Answers (any JSON value) by key. The first answer under a key stays; a later one is left out.

    Two processes may hold the same file; each sees what the other has committed. Raises CotmillError where
    the file cannot be opened or written, or is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: dict[str, str] = {}
        self._committed = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit: each batch is its own transaction. The caller's threads take turns.
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_TABLE)
        except (OSError, sqlite3.Error) as e:
            raise CotmillError(f"{path}: the journal cannot be opened: {e}") from e

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """The answers that are known, of those asked for."""
        wanted = list(dict.fromkeys(keys))
        found = {k: self._waiting[k] for k in wanted if k in self._waiting}
        try:
            for i in range(0, len(wanted), _VARIABLES):
                part = wanted[i : i + _VARIABLES]
                marks = ",".join("?" * len(part))
                found |= self._db.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part)
            return {key: json.loads(answer) for key, answer in found.items()}
        except (sqlite3.Error, ValueError) as e:
            raise CotmillError(f"{self.path}: the journal cannot be read: {e}") from e

    def put(self, key: str, answer: Any) -> None:
        """Keep an answer; it is durable after the next commit."""
        self._waiting.setdefault(key, json.dumps(answer, separators=(",", ":")))
        if len(self._waiting) >= BATCH or time.monotonic() - self._committed > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit what waits."""
        if self._waiting:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", self._waiting.items())
                self._db.execute("COMMIT")
            except sqlite3.Error as e:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise CotmillError(f"{self.path}: the journal cannot be written: {e}") from e
            self._waiting.clear()
        self._committed = time.monotonic()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM answers").fetchone()[0]) + len(self._waiting)

    def close(self) -> None:
        self.flush()
        self._db.close()
