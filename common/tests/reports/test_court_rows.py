"""The court's rows in a notebook: from the studies' files, and never a row without a run."""

import re
import shutil

import pytest

from common.experiments import laboratory
from common.reports import ShippedStudy, court_rows


@pytest.fixture
def folder(tmp_path):
    """The results with a single study in them."""
    shutil.copy(laboratory.RESULTS / "shift.jsonl", tmp_path)
    return tmp_path


def test_a_claim_is_shown_with_effect_interval_and_verdict(folder):
    rows = court_rows("shaken-still-helps", folder=folder)
    judged = laboratory.judge(ShippedStudy("shift").kept)
    (verdict,) = [v for v in judged if v.contrast.claim == "shaken-still-helps"]
    text, page = repr(rows), rows._repr_html_()
    # Each cell has its own style: from a notebook not run there front ends drop style sheets.
    page, styled = re.subn(r'(<t[dh]) style="text-align:left[^"]*"', r"\1", page)
    assert styled == 8
    assert text.startswith("BatchNorm helps even where the inputs are moved at random.\n")
    assert f": {verdict.interval} (n = 3) → {verdict.sentence}" in text
    assert f"<td>{verdict.interval} (n = 3)</td><td>{verdict.sentence}</td>" in page
    assert "Not run yet" not in text + page


def test_what_was_not_run_is_named_in_one_sentence(folder):
    rows = court_rows("needs-large-batches", "less-shift", "initialisation", folder=folder)
    sentence = (
        "Not run yet: BatchNorm needs large batches. BatchNorm makes a network less sensitive to "
        "its initial weights. (python -m common study batch init)"
    )
    assert repr(rows).splitlines()[-1] == sentence
    assert "move less" in repr(rows).splitlines()[0]
    assert rows._repr_html_().endswith(f"<p>{sentence}</p>")
    (folder / "shift.jsonl").unlink()
    assert court_rows("less-shift", folder=folder)._repr_html_().startswith("<p>Not run yet:")


def test_a_proof_and_an_untestable_claim_need_no_run(tmp_path):
    rows = court_rows("group-parameters", "independent", folder=tmp_path)
    assert "    It has 2C, two a channel, whatever G is. → proven: wrong" in repr(rows)
    assert "→ not testable as put: Its formula assumes nothing." in repr(rows)
    assert rows.waiting == ""


def test_several_comparisons_share_the_cell_of_their_claim():
    page = court_rows("first-to-60")._repr_html_()
    assert page.count("BatchNorm reaches 60 % first.") == 1
    assert '<td rowspan="4" ' in page
    assert page.count("<tr>") == 5


def test_an_unknown_claim_is_refused():
    with pytest.raises(ValueError, match="no claim made-up: there are group-batch-statistics"):
        court_rows("less-shift", "made-up")
