"""The course's notebooks in the form in which Jupyter writes them, ready to be shown as slides.

A notebook that was opened and saved without a run then differs in nothing, and in class
``jupyter nbconvert --to slides`` makes of a lesson what it is not by itself: pages of a size.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from common.settings import LESSONS, ROOT

if TYPE_CHECKING:
    from nbformat import NotebookNode

# As ipykernel names the kernel that it installs: another name would be changed by a front end.
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def notebooks(root: Path = ROOT) -> list[Path]:
    """The notebooks of the lessons and of ``common``."""
    folders = (*LESSONS.values(), "common")
    return sorted(path for folder in folders for path in (root / folder).glob("*.ipynb"))


def slide_type(cell: NotebookNode, *, first: bool = False) -> str:
    """What a cell is among slides; ``first`` is the first code cell, which finds the course.

    A section begins a column of slides that are gone through downwards, a page for each cell, for
    text and figure seldom fit on one. Hints and solutions are the speaker's.
    """
    if first:
        return "skip"
    if cell.cell_type == "markdown" and re.match(r"##? ", cell.source):
        return "slide"
    if cell.cell_type == "markdown" and cell.source.startswith("<details"):
        return "notes"
    return "subslide"


def in_form(text: str) -> str:
    """A notebook as Jupyter writes it, with the type of its slide in each cell's metadata."""
    import nbformat

    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata.kernelspec = nbformat.from_dict(KERNEL)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        kind = slide_type(cell, first=bool(code) and cell is code[0])
        cell.metadata.slideshow = nbformat.from_dict({"slide_type": kind})
    for cell in code:
        cell.outputs = _joined(cell.outputs)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Text printed piece by piece as one piece, as nbclassic saves it and the others leave it."""
    joined: list[NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else output
        streams = before is not output and before.output_type == output.output_type == "stream"
        if streams and before.name == output.name:
            before.text += output.text
        else:
            joined.append(output)
    return joined


def bring_into_form(root: Path = ROOT, check: bool = False) -> list[Path]:
    """Write every notebook that is not ``in_form`` anew, or with ``check`` only name it."""
    stale = []
    for path in notebooks(root):
        text = path.read_text(encoding="utf-8")
        if (formed := in_form(text)) != text:
            stale.append(path)
            if not check:
                path.write_text(formed, encoding="utf-8", newline="\n")
    return stale
