"""Bars in notebooks: lines of text that a saved notebook keeps, and no widgets."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import uuid4

import IPython
import pytest

from common import frontends, training


class Notebook:
    """A kernel and its front end, as far as bars see them: cells, and what is in their outputs."""

    def __init__(self, monkeypatch, watched: bool = True) -> None:
        self.asks, self.outputs, self.cell, self.now = watched, [], 0, 1000.0
        self.session = uuid4()
        shell = SimpleNamespace(kernel=object(), get_parent=self.request)
        monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
        monkeypatch.setattr(IPython.display, "display", self.display)
        monkeypatch.setattr("tqdm.std.time", lambda: self.now)
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def request(self) -> dict:
        # The metadata are nbclassic's, which names no cell.
        content = {"code": "…", "allow_stdin": self.asks}
        return {
            "header": {"msg_id": f"{self.session}, {self.cell}"},
            "content": content,
            "metadata": {},
        }

    def display(self, data: dict, raw: bool, display_id: bool) -> SimpleNamespace:
        self.outputs.append(written := [data])
        return SimpleNamespace(update=lambda data, raw: written.append(data))

    def work(self, seconds: float, parts: int, name: str) -> None:
        for _ in frontends.steps(range(parts), name):
            self.now += seconds / parts

    @property
    def left(self) -> list[str]:
        """What a notebook that is saved now holds."""
        assert all(
            bundle.keys() <= {"text/plain", "text/html"} for o in self.outputs for bundle in o
        )
        return [output[-1]["text/plain"] for output in self.outputs]


@pytest.fixture
def notebook(monkeypatch):
    return Notebook(monkeypatch)


@pytest.mark.parametrize("watched", [True, False], ids=["nbclassic", "nbclient"])
def test_a_front_end_is_told_by_the_request_it_sends(monkeypatch, watched):
    Notebook(monkeypatch, watched)
    assert frontends.in_notebook()
    assert frontends.front_end() is watched


@pytest.mark.parametrize("shell", [None, SimpleNamespace()], ids=["script", "terminal"])
def test_elsewhere_is_no_front_end(monkeypatch, shell):
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    assert not frontends.in_notebook()
    assert not frontends.front_end()


def test_a_bar_becomes_one_line_of_text(notebook):
    with frontends.bar(4, "training", bar_format="{desc} {n_fmt}/{total_fmt}") as bar:
        for _ in range(4):
            notebook.now += 1
            bar.update()
    assert notebook.left == ["training 4/4"]
    assert len(notebook.outputs[0]) > 2  # it moved


def test_short_work_shows_nothing_and_long_work_the_time_left(notebook):
    notebook.work(1.5, 30, "short")
    assert notebook.left == []
    notebook.cell = 1
    notebook.work(6, 30, "long")
    first = notebook.outputs[0][0]
    assert "long" in first["text/plain"]
    assert "00:04 left" in first["text/plain"]
    assert notebook.left == [""]  # and it is gone


def test_many_short_works_in_one_cell_are_not_silent_and_share_a_line(notebook):
    for number in range(4):
        notebook.work(1.5, 30, f"part {number}")
    (written,) = notebook.outputs
    told = [bundle["text/plain"] for bundle in written]
    assert {text.split(" ")[1] for text in told if text} == {"1", "2", "3"}
    assert notebook.left == [""]


def test_nobody_watches_nothing_is_shown(monkeypatch):
    notebook = Notebook(monkeypatch, watched=False)
    notebook.work(60, 30, "long")
    assert notebook.outputs == []


def test_runs_one_after_the_other_leave_one_line(notebook):
    names = ["G = 1", "G = 2", "G = 4"]
    with training.Overview("bar", names, [1, 1, 1]) as whole:
        for number in range(3):
            whole.begin(number)
            with frontends.bar(1, names[number], leave=False):
                notebook.now += 1
            whole.tell(50.0 + number)
    assert len(notebook.outputs) == 2  # all runs' bars stood in one place
    line, gone = notebook.left
    assert line.startswith("3 of 3: ")
    assert "G = 4 52.0" in line
    assert gone == ""


def test_a_long_table_is_folded_and_lost_nowhere():
    rows = [f"<row {number}>" for number in range(10)]
    table = frontends.Folded("\n".join(rows), lines=3)
    shown, folded = table._repr_html_().split("<details>")
    assert "&lt;row 2&gt;" in shown
    assert "row 3" not in shown
    assert "7 more lines" in folded
    assert "&lt;row 9&gt;" in folded
    assert repr(table) == "\n".join(rows)
    assert "<details>" not in frontends.Folded("one\ntwo")._repr_html_()
