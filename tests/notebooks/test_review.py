"""The reviewers' notebook: it runs, shows what it promises, and nothing in the data comes alive in it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from html import escape
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import nbformat
import pytest
from cotmill.generators import families
from cotmill.notebooks.html import Html, chip, esc, legend, tagged
from cotmill.notebooks.views import Review
from cotmill.pipelines import review as launcher
from cotmill.pipelines.inspect import printable
from cotmill.schemas import ActSpan, BadInput, CotmillError, Inventory
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from packaging.requirements import Requirement

NOTEBOOK = Path(str(files("cotmill.notebooks") / "review.ipynb"))
WRITTEN = {
    *("div", "section", "header", "article", "span", "p", "h5", "b", "code", "details", "summary"),
    *("table", "caption", "tr", "th", "td", "dl", "dt", "dd", "svg", "title", "line", "rect", "circle"),
}
DRAWN = {"div", "p", "svg", "defs", "style", "g", "path", "use", "clippath", "rect", "image", "metadata"} | {
    *("rdf:rdf", "cc:work", "dc:type", "dc:format", "pattern"),
}
DATA_WORDS = (
    "12 * 30 = 390.",
    "345 is not 315",
    "cut off: max_tokens reached",
    "handmade, row 1, Apache-2.0",
)


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000a49444154789c6300010000050001"
    "0d0a2db40000000049454e44ae426082"
)


def test_plots_of_an_evaluation_stand_in_the_page(synthetic_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "loop" / "round-1" / "run"
    shutil.copytree(synthetic_run, run)
    review = Review(run)
    assert "<img" not in review.evaluation()
    evaluation = run.with_name("evaluation")
    evaluation.mkdir()
    (evaluation / "evaluation.json").write_text("{}")
    for plot in (evaluation / "accuracy.png", tmp_path / "loop" / "loop.png"):
        plot.write_bytes(PIXEL)
    shown = review.evaluation()
    assert shown.count("data:image/png;base64,") == 2
    assert "evaluation/accuracy.png" in shown
    assert "loop/loop.png" in shown
    assert Review(synthetic_run).evaluation(evaluation).count("<img") == 1
    with pytest.raises(BadInput, match="holds no plots"):
        review.evaluation(tmp_path)


class Parsed(HTMLParser):
    """What a browser would make of it: elements, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def review(synthetic_run: Path) -> Review:
    return Review(synthetic_run)


@pytest.fixture(scope="module")
def executed(synthetic_run: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, kernel_name="python3", timeout=120)
    client.execute(env=os.environ | {launcher.RUN_VARIABLE: str(synthetic_run)})
    return notebook


@pytest.fixture(scope="module")
def views(review: Review) -> list[Html]:
    """Everything that the notebook can show of this run."""
    return [
        review.overview(),
        review.legend(),
        review.samples(n=99),
        review.steps(n=99),
        review.states(n=99),
        review.values(),
        review.outcomes(),
        review.acts(),
        review.transitions(),
        review.acts_by_outcome(),
        review.against_truth(n=99),
        review.rejected(),
    ]


def ids(view: Html) -> list[str]:
    return re.findall(r'class="id" title="(\w+)"', view)


def answers(address: str, tries: int = 60) -> bool:
    """Whether a page is served there. JupyterLab prints its address before it listens."""
    for _ in range(tries):
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return answer.status == 200
        except urllib.error.URLError as e:
            if not isinstance(e.reason, ConnectionRefusedError):
                raise
            time.sleep(0.5)
    return False


def test_the_notebook_runs_and_every_cell_shows_something(executed: nbformat.NotebookNode) -> None:
    cells = [c for c in executed.cells if c.cell_type == "code"]
    assert len(cells) > 8
    shown = []
    for cell in cells:
        (output,) = cell.outputs
        shown.append(output.data["text/html"])
        assert "<div" in shown[-1]
    page = Parsed("".join(shown)).text
    for words in (*DATA_WORDS, "first error", "q (−1 to 1)"):
        assert words in page or any(escape(words) in s for s in shown)


def test_the_packaged_notebook_is_clean() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_nothing_in_the_data_comes_alive(views: list[Html]) -> None:
    for view in views:
        page = Parsed(view._repr_html_())
        alive = {
            "script",
            "img",
            "iframe",
            "object",
            "embed",
            "link",
            "a",
            "b",
            "i",
            "u",
            "em",
            "h1",
            "marquee",
        }
        assert not page.tags & (alive - ({"b"} if "legends" in view else set()))
        assert not [name for name, _ in page.attributes if name.startswith("on")]
        assert not [v for _, v in page.attributes if v.lower().strip().startswith("javascript")]


def test_nothing_is_fetched(views: list[Html]) -> None:
    for view in views:
        page = Parsed(view._repr_html_())
        assert not [n for n, v in page.attributes if n in ("src", "srcset", "data", "action", "poster")]
        assert not [
            v for n, v in page.attributes if n.endswith("href") and not v.startswith(("#", "data:image/png"))
        ]
        assert "@import" not in view._repr_html_()


def test_hostile_text_is_shown_as_it_was_written(review: Review) -> None:
    page = Parsed(review.samples(n=9, where="question~script")).text
    assert "<script>document.title='owned'</script>" in page
    assert "<Think_End> and <ACT_Check_Start>, as text." in page
    assert "</div></td></table><h1>no</h1>" in page
    assert "\\u001b[31mcode\\u0007 or \\u202eprose?" in page


@given(
    st.text(st.sampled_from("ab<>&\"' \n\t🤔é\x00\u202e")),
    st.lists(st.integers(0, 40), max_size=8, unique=True).map(sorted),
)
def test_tagged_text_is_the_text(text: str, cuts: list[int]) -> None:
    edges = [c for c in cuts if c <= len(text)]
    acts = [ActSpan(start=a, end=b, act="Check") for a, b in zip(edges[::2], edges[1::2], strict=False)]
    shown = tagged(text, acts)
    assert shown.count('class="name"') == len(acts)
    plain = Parsed(re.sub(r'<span class="name">.*?</span>', "", shown)).text
    assert "".join(plain.split()) == "".join(printable(text, longest=None).split())


@given(st.text())
def test_escaped_text_ends_nothing(text: str) -> None:
    page = Parsed(f'<p title="{esc(text)}">{esc(text)}</p>')
    assert page.tags == {"p"}
    assert [name for name, _ in page.attributes] == ["title"]


def test_every_act_has_its_groups_colour() -> None:
    inventory = Inventory.load()
    colours = {f.name: re.findall("background:(#[0-9A-F]+)", chip(f.name))[0] for f in inventory.factors}
    by_group = {g: {colours[f.name] for f in inventory.factors if f.group == g} for g in inventory.groups}
    assert all(len(found) == 1 for found in by_group.values())
    assert len({*map(min, by_group.values())}) == len(inventory.groups)
    assert all(name in legend() for name in inventory.names)


def test_an_unknown_act_is_shown_all_the_same() -> None:
    assert "Daydream" in tagged("hm", [ActSpan(start=0, end=2, act="Daydream")])


def test_filters_narrow_the_samples(review: Review) -> None:
    wrong = review.samples(n=99, outcome="wrong", generator="completion", domain="math", where="tokens>0")
    assert len(ids(wrong)) == 4
    assert wrong.count('class="badge wrong"') == 4
    assert 'class="badge correct"' not in wrong
    assert "None of" in review.samples(domain="open")


def test_everybody_sees_the_same_pages(review: Review, synthetic_run: Path) -> None:
    pages = [ids(review.samples(at=at, n=4)) for at in (0, 4, 8, 12)]
    assert pages == [ids(Review(synthetic_run).samples(at=at, n=4)) for at in (0, 4, 8, 12)]
    flat = [key for page in pages for key in page]
    assert len(flat) == len({*flat}) == review.run.manifest.rows("traces")
    assert "next: <code>at=4</code>" in review.samples(n=4)
    assert "previous: <code>at=4</code>" in review.samples(at=8, n=4)


def test_a_trace_stands_beside_its_seed(review: Review) -> None:
    card = review.samples(where="prefix_steps=2")
    assert card.index("the seed's CoT") < card.index("this trace") < card.index("315 + 45 = 360, good.")
    assert card.count("copied from the seed up to here") == 1
    assert "the seed's CoT" not in review.samples(generator="human", where="domain=math")


def test_the_first_error_and_the_truth_are_marked(review: Review) -> None:
    wrong = review.samples(where="answer=-77")
    assert wrong.count("step copied truthful") == 4
    assert wrong.count("first truthful") == 1
    (row,) = review.run.find("traces", "answer", ["-77"])
    truth = families.check(row["question"], row["text"])
    assert truth is not None
    right = [*[True] * (len(truth.clean) - 2), False, False]
    assert 1 < wrong.count("truth against") == sum(a != b for a, b in zip(right, truth.clean, strict=True))
    assert {*ids(review.against_truth())} == {row["trace_id"], row["seed_id"]}


def test_searched_states_show_every_action_and_the_candidates(review: Review) -> None:
    page = Parsed(review.states(n=9)).text
    for words in (
        "NoteGiven",
        "0.62",
        "20",
        "+0.70",
        "-0.50",
        "● chosen",
        "game won",
        "12 boxes & <b>45</b> broken.",
    ):
        assert words in page


def test_rejected_rows_are_listed(synthetic_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(synthetic_run, tmp_path / "run"))
    (run / "rejected").mkdir()
    row = '{"source": "a.jsonl", "line": 3, "field": "answer", "reason": "is <missing>", "raw": "{}"}\n'
    (run / "rejected" / "sources.jsonl").write_text(row * 30)
    page = Parsed(Review(run).rejected(n=20)).text
    assert page.count("is <missing>") == 20


def test_without_a_run_it_says_how_to_choose_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(launcher.RUN_VARIABLE, raising=False)
    with pytest.raises(BadInput, match=launcher.RUN_VARIABLE):
        Review()


def test_a_reviewers_copy_is_kept_and_the_package_untouched(
    synthetic_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    before = NOTEBOOK.read_bytes()
    copy = launcher.own_copy(synthetic_run)
    assert copy.read_bytes() == before
    copy.write_text("my notes")
    assert launcher.own_copy(synthetic_run).read_text() == "my notes"
    assert launcher.own_copy(tmp_path) != copy
    assert NOTEBOOK.read_bytes() == before


def test_without_jupyterlab_it_gives_the_line_to_type(
    synthetic_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "unmet", lambda extra: [Requirement("jupyterlab>=4")])
    with pytest.raises(CotmillError, match=r"needs jupyterlab; type: .* -m pip install 'jupyterlab>=4'"):
        launcher.review(synthetic_run)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no manifest"):
        launcher.review(tmp_path)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_notebook_is_served_until_a_signal_ends_it(
    synthetic_run: Path, tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    env = os.environ | {"XDG_DATA_HOME": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    command = [sys.executable, "-m", "cotmill.pipelines.cli", "review", str(synthetic_run), "--no-browser"]
    with subprocess.Popen(
        command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        try:
            assert server.stderr is not None
            address = next(line.strip() for line in server.stderr if "http://127.0.0.1" in line)
            assert "/lab/tree/review.ipynb?token=" in address
            assert answers(address)
            server.send_signal(sent)
            server.stderr.read()
            assert server.wait(timeout=60) == status
            assert not answers(address, tries=1)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
