"""A study as a notebook shows it: its figure, or a sentence on what is missing."""

import pytest

from common.experiments.laboratory import RESULTS, judge
from common.reports import ShippedStudy


@pytest.fixture(scope="module")
def birth():
    return ShippedStudy("birth")


def test_a_study_whose_runs_are_all_there_is_drawn_with_a_guess(birth):
    assert birth.missing == ""
    figure = birth.figure(3, marks={"your guess: 1": 1.0})
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [[text.get_text() for text in axes.texts] for axes in panels] == [["your guess: 1"]] * 2
    assert "growth of the gradient" in figure.alt


def test_a_mean_is_the_one_that_the_verdict_rests_on(birth):
    (verdict,) = [v for v in judge(birth.kept) if v.contrast.claim == "batch-explodes"]
    where = {"norm": "batch", "depth": 24, "skips": "no", "gain": 1.0}
    assert birth.mean("gradient_growth", **where) == pytest.approx(verdict.effect)


def test_what_is_missing_is_said_with_the_command_that_makes_it(tmp_path):
    lines = (RESULTS / "birth.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "birth.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    study = ShippedStudy("birth", tmp_path)
    sentence = " ".join(repr(study.figure(marks={"your guess: 1": 1.0})).split())
    runs = len(lines) - 1
    assert sentence.startswith(f"{runs - 1} of the {runs} runs of this study are here; ")
    assert "python -m common study birth makes the others, in about" in sentence
    assert study.mean("gradient_growth", norm="batch") is None


def test_a_study_without_a_file_has_no_run_yet(tmp_path):
    study = ShippedStudy("init", tmp_path)
    assert repr(study.figure()).startswith("0 of the ")
    assert study.mean("test", norm="none", gain=0.1) is None


def test_an_unknown_study_is_refused():
    with pytest.raises(ValueError, match="no study 'weather'"):
        ShippedStudy("weather")
