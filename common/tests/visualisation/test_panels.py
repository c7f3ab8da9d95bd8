"""The figure of a study: panels of lines with their spread."""

from __future__ import annotations

import pytest

from common.visualisation import panel_figure

WORDS = {"xlabel": "rate", "ylabel": "drift", "title": "t", "dataset": "shapes"}


def drawn(values, scale):
    return panel_figure({"": ([1, 2], {"batch": values})}, scales=("log", scale), **WORDS)


def legend(figure):
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def test_one_dead_run_does_not_stretch_a_logarithmic_axis():
    figure = drawn([[0.1, 0.2], [0.1, 1e-8]], "log")
    assert figure.axes[0].get_ylim()[0] == pytest.approx(0.01)
    assert "below the axis" in legend(figure)[-1]


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_runs_near_the_others_are_shown_whole(scale):
    figure = drawn([[0.1, 0.2], [0.1, 0.004]], scale)
    assert figure.axes[0].get_ylim()[0] < 0.004
    assert legend(figure)[-1].endswith("lowest to highest")
