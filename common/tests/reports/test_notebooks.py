"""Notebooks in the form in which Jupyter writes them, and what nbconvert makes of them."""

from __future__ import annotations

import io
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from common import visualisation
from common.reports.notebooks import bring_into_form, in_form

ALT = "What is shown: Test accuracy of a < b & c."


def lesson() -> nbformat.NotebookNode:
    """A small one, with a figure in it as a kernel sends it."""
    figure = visualisation.line_figure(
        [1, 2], {"batch": [1, 2]}, title="shown", dataset="What is", xlabel="x", ylabel="y"
    )
    figure.alt = ALT
    data, metadata = figure._repr_mimebundle_()
    shown = new_code_cell(
        "figure", outputs=[new_output("display_data", data=data, metadata=metadata)]
    )
    return new_notebook(
        cells=[
            new_markdown_cell("# Batch norm"),
            new_code_cell("import runpy"),
            new_markdown_cell("Text, and\n# no heading"),
            new_markdown_cell("## 1 · See"),
            shown,
            new_markdown_cell("### Exercise 1"),
            new_code_cell("1 + 1"),
            new_markdown_cell("<details><summary>Hint</summary></details>"),
        ]
    )


@pytest.fixture(scope="module")
def formed() -> str:
    return in_form(nbformat.writes(lesson()))


def test_each_cell_has_its_place_among_slides(formed):
    kinds = [cell.metadata.slideshow.slide_type for cell in nbformat.reads(formed, 4).cells]
    assert kinds == [
        *("slide", "skip", "subslide"),
        *("slide", "subslide", "subslide", "subslide", "notes"),
    ]


def test_a_notebook_in_form_is_what_jupyter_writes(formed):
    assert in_form(formed) == formed
    written = io.StringIO()
    nbformat.write(nbformat.reads(formed, nbformat.NO_CONVERT), written)  # Jupyter's server does
    assert written.getvalue() == formed


def test_what_was_printed_in_pieces_is_one_piece(notebook):
    printed = [("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n"), ("stdout", "d\n")]
    (cell,) = (cell for cell in notebook.cells if cell.source == "1 + 1")
    cell.outputs = [new_output("stream", name=name, text=text) for name, text in printed]
    formed = nbformat.reads(in_form(nbformat.writes(notebook)), as_version=4)
    (cell,) = (cell for cell in formed.cells if cell.source == "1 + 1")
    assert [output.text for output in cell.outputs] == ["a\nb\n", "c\n", "d\n"]


def test_the_command_writes_only_what_is_not_in_form(tmp_path, formed):
    places = [tmp_path / folder / "a.ipynb" for folder in ("Batch-Norm", "Group-Norm", "common")]
    for place, text in zip(places, (formed, formed + "\n", formed), strict=True):
        place.parent.mkdir()
        place.write_text(text, encoding="utf-8", newline="\n")
    assert bring_into_form(tmp_path, check=True) == places[1:2]
    assert bring_into_form(tmp_path) == places[1:2]
    assert bring_into_form(tmp_path) == []
    assert places[1].read_bytes() == formed.encode()


@pytest.fixture
def notebook(formed):
    return nbformat.reads(formed, as_version=4)


def test_a_page_shows_figures_with_their_text_for_screen_readers(notebook):
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(notebook)
    (image,) = re.findall(r"<img\b[^>]*>", page)
    assert 'alt="What is shown: Test accuracy of a &lt; b &amp; c."' in image
    assert 'width="950"' in image


def test_slides_are_columns_of_pages(notebook):
    from nbconvert import SlidesExporter

    page, _ = SlidesExporter().from_notebook_node(notebook)
    slides = page.partition('<div class="slides">')[2]
    assert len(re.findall(r"<section>\s*<section>", slides)) == 2
    assert len(re.findall(r"<section\b", slides)) == 2 + 6
    assert "import runpy" not in page
    assert '<aside class="notes">' in page


def test_latex_gets_the_picture_as_a_file_that_it_can_read(notebook):
    from nbconvert import LatexExporter

    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]  # no pandoc
    page, resources = LatexExporter().from_notebook_node(notebook)
    ((name, content),) = resources["outputs"].items()
    assert name.endswith(".png")
    assert name in page
    assert Image.open(io.BytesIO(content)).width == 950
