"""The journal keeps what it was given, through kills, and gives back nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cotmill.models.journal import BATCH, Journal
from cotmill.schemas import CotmillError
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(answers=st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), JSON, max_size=20))
def test_what_went_in_comes_out_of_a_new_journal(
    answers: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.sqlite"
    journal = Journal(path)
    for key, answer in answers.items():
        journal.put(key, answer)
    assert journal.get(answers) == answers
    journal.close()
    again = Journal(path)
    assert again.get([*answers, "never put " * 9]) == answers
    again.close()


def test_the_first_answer_stays(tmp_path: Path) -> None:
    one, other = Journal(tmp_path / "j"), Journal(tmp_path / "j")
    one.put("k", "first")
    one.put("k", "again")
    one.flush()
    other.put("k", "from elsewhere")
    other.flush()
    assert one.get(["k"]) == other.get(["k"]) == {"k": "first"}
    assert len(one) == 1
    one.close()
    other.close()


def test_more_keys_than_one_query_takes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for i in range(1700):
        journal.put(str(i), i)
    assert journal.get(map(str, range(1700))) == {str(i): i for i in range(1700)}
    journal.close()


def test_a_killed_process_loses_less_than_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "j"
    script = (
        "import os, signal, sys; from pathlib import Path; from cotmill.models.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        f"for i in range({5 * BATCH // 2}): journal.put(str(i), i)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", script, str(path)], env=os.environ, timeout=120)
    assert died.returncode == -signal.SIGKILL
    journal = Journal(path)
    assert 2 * BATCH <= len(journal) <= 5 * BATCH // 2
    assert journal.get(map(str, range(2 * BATCH))) == {str(i): i for i in range(2 * BATCH)}
    journal.close()


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("not a database " * 100)
    with pytest.raises(CotmillError, match="journal cannot be opened"):
        Journal(tmp_path / "j")
