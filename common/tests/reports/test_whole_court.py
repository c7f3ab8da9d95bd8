"""The court in a notebook: every claim once, in the group of its verdict, and a quiz on some."""

import shutil

import pytest

from common.experiments import laboratory
from common.reports import court_quiz, whole_court
from common.reports.court_rows import Row
from common.reports.whole_court import CHOICES, verdict_on


@pytest.fixture
def folder(tmp_path):
    """The results with a single study in them."""
    shutil.copy(laboratory.RESULTS / "shift.jsonl", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (["holds", "holds", "not run yet"], "holds"),
        (["does not hold"], "does not hold"),
        (["holds", "does not hold"], "mixed or not decided"),
        (["not decided by this data, would take about 9 seeds"], "mixed or not decided"),
        (["not run yet"], "not run yet"),
        (["proven: wrong"], "proven, right or wrong"),
        (["not testable as put: why"], "not testable as put"),
    ],
)
def test_one_word_for_all_comparisons(words, verdict):
    assert verdict_on([Row("what", word) for word in words]) == verdict


def test_every_claim_is_there_once_with_what_was_measured_folded_behind_it(folder):
    page = whole_court(folder)._repr_html_()
    assert page.count("<details><summary ") == len(laboratory.CLAIMS) + 1  # and those not run yet
    held, _, rest = page.partition("<b>does not hold</b> (1)")
    assert held.startswith("<div>")
    assert "<b>holds</b> (3)" in held
    assert held.count("→") == 0
    assert "moved at random." in held
    assert "take the stillness away and the gain is gone." in rest
    assert "python -m common study shift" in held
    assert "pytest common/tests/test_norms.py -k test_parameter_counts" in rest


def test_as_text_what_was_not_run_is_named_and_has_no_rows(folder):
    lines = repr(whole_court(folder)).splitlines()
    assert lines[0] == "HOLDS (3)"
    waiting = lines[next(i for i, line in enumerate(lines) if line.startswith("NOT RUN YET")) + 1 :]
    assert waiting
    assert not any(line.startswith("    ") for line in waiting)


def test_the_quiz_knows_what_has_been_decided(folder):
    quiz = court_quiz("shaken-still-helps", "larger-rates", "group-parameters", folder=folder)
    assert list(quiz.truths.values()) == ["holds", None, None]
    assert quiz.choices == CHOICES
    with pytest.raises(ValueError, match="no claim made-up"):
        court_quiz("made-up", folder=folder)
