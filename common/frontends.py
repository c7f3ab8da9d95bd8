"""Whoever watches: live bars in a terminal and in every notebook, and nothing that outlives them.

tqdm's own bar for notebooks is a widget. It leaves an error message in a notebook that is saved and
opened again, for the widget's other half went with the kernel. Here a bar is a line of text in the
cell's output that is written anew in place: JupyterLab, Notebook, nbclassic, VS Code and Colab all
can, a saved notebook keeps the last line as it is, and a screen reader reads it.
"""

from __future__ import annotations

import html
import io
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

PATIENCE = 2  # seconds that somebody waits before silence needs an explanation
COLUMNS = 88  # of a bar in a notebook: what fits in JupyterLab on a small screen
SUMMARY = '<summary style="display:list-item">'  # else without its triangle in nbclassic
NOTHING = {"text/html": "", "text/plain": ""}  # takes no room in a cell's output

T = TypeVar("T")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, watched or not."""
    # Whoever runs in IPython has imported it; nobody else should wait for it.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def front_end() -> bool:
    """Whether somebody watches in a notebook: bars move there, figures change, widgets answer.

    Programs that only collect outputs (nbconvert, nbval, papermill) say with each request that
    nobody is there to answer ``input()``; every front end made for people says the opposite.
    """
    if not in_notebook():
        return False
    return "google.colab" in sys.modules or bool(_request().get("content", {}).get("allow_stdin"))


def _request() -> dict[str, Any]:
    """What asked this kernel to do what it is doing now; empty in a thread of its own."""
    return sys.modules["IPython"].get_ipython().get_parent()


def bar(total: float | None, name: str, **options: Any) -> tqdm:
    """A tqdm bar that suits what is there: a terminal's, or a line of a cell's output.

    ``options`` are tqdm's. With ``leave=False`` nothing of it stays.
    """
    options = {"dynamic_ncols": True, "mininterval": 0.5, "miniters": 0} | options
    return (_Line if in_notebook() else tqdm)(total=total, desc=name, **options)


def steps(things: Sequence[T], name: str) -> Iterator[T]:
    """Go through ``things``; whoever has watched for ``PATIENCE`` seconds sees how far it is.

    The seconds count from the first call in a notebook's cell, so that a cell that does many short
    things is not silent either. The bar goes when it is done.
    """
    late = time.monotonic() - _cell().started if in_notebook() else 0
    watched = front_end() or (sys.stderr.isatty() and not in_notebook())
    options = {"leave": False, "disable": not watched, "smoothing": 0}
    form = "{desc} {percentage:3.0f}%|{bar}|{remaining} left"
    with bar(len(things), name, delay=max(0.01, PATIENCE - late), bar_format=form, **options) as it:
        for thing in things:
            yield thing
            it.update()


class Folded:
    """A long table of text: in a notebook its first ``lines``, the rest behind a click.

    Where there is no HTML, as in a terminal, the whole of it.
    """

    def __init__(self, text: object, lines: int = 8) -> None:
        self.text, self.lines = str(text), lines

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        rows = html.escape(self.text).split("\n")
        shown, rest = ("\n".join(part) for part in (rows[: self.lines], rows[self.lines :]))
        more = f"<details>{SUMMARY}{len(rows) - self.lines} more lines</summary>"
        # Some pages that nbconvert makes would show it in letters of many widths.
        pre = '<pre style="font-family: monospace">'
        return f"{pre}{shown}</pre>" + (f"{more}{pre}{rest}</pre></details>" if rest else "")


class _Cell:
    """The lines in the output of the cell that is running: those that may be written again."""

    def __init__(self, request: str) -> None:
        self.request, self.started, self.free = request, time.monotonic(), []


_running = _Cell("")


def _cell() -> _Cell:
    global _running
    number = _request().get("header", {}).get("msg_id", "")
    if _running.request != number:
        _running = _Cell(number)
    return _running


class _Line(tqdm):
    """A bar as one line of text in a cell's output; one that leaves makes room for the next."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.cell, self.handle = _cell(), None
        options |= {"file": io.StringIO(), "ascii": False, "ncols": COLUMNS, "dynamic_ncols": False}
        super().__init__(*arguments, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the bar's present text, or ``msg``; an empty one gives the line away."""
        from IPython.display import display

        text = str(self) if msg is None else msg
        bundle = {"text/plain": text} if text else NOTHING
        if self.handle is None and self.cell.free:
            self.handle = self.cell.free.pop(0)
        if self.handle is None:
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)
        if not text:
            self.cell.free.append(self.handle)
            self.handle = None
