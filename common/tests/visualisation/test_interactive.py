"""The figures to play with: sliders where a front end is there, a picture everywhere else."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from common.visualisation import Guesses, Quiz, bar_figure, interactive


@pytest.fixture
def output(monkeypatch):
    """What a cell shows, in order; each is a list of what has been written there so far."""
    shown: list[list[dict]] = []

    def display(data, metadata=None, raw=False, display_id=False):
        assert raw
        shown.append(written := [data])
        if display_id:
            return SimpleNamespace(update=lambda data, **_: written.append(data))

    monkeypatch.setattr("IPython.display.display", display)
    return shown


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_without_a_front_end_there_is_a_figure(norm):
    figure = interactive.play_with_sets(norm)
    assert isinstance(figure, Figure)
    assert not hasattr(figure, "controls")


def test_without_a_front_end_the_noise_of_a_batch_is_a_figure():
    assert isinstance(interactive.play_with_batch_noise(), Figure)


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match=r"'none'.*batch, group, layer"):
        interactive.play_with_sets("none")


@pytest.mark.parametrize(
    ("norm", "names"),
    [
        ("batch", ["N", "C", "H", "W"]),
        ("group", ["N", "C", "H", "W", "groups"]),
        ("layer", ["N", "C", "H", "W", "S"]),
    ],
)
def test_the_controls_redraw_the_figure_in_its_place(norm, names, output):
    play = interactive.play_with_sets(norm, live=True)
    play._ipython_display_()
    controls = {control.description: control for control in play.controls.values()}
    assert list(controls) == names
    _, pictures = output
    name = names[-1]  # all are wired in one loop, and a drawing takes its time
    if name == "S":
        controls[name].index = 2
    else:
        controls[name].value = 1 if name == "groups" else 6
    assert pictures[-1]["text/html"] != pictures[-2]["text/html"]
    assert len(output) == 2
    # Else what stands below jumps while a slider moves.
    assert len({size_of(picture) for picture in pictures}) == 1


def size_of(bundle):
    return re.search(r'width="(\d+)" height="(\d+)"', bundle["text/html"]).groups()


WITH_CONTROLS = {
    "a figure": lambda: interactive.play_with_batch_noise(live=True),
    "a guess": lambda: Guesses().ask("accuracy of x < y", unit="%", live=True),
    "a quiz": lambda: Quiz({"A.": "yes"}, ("yes", "no"), live=True),
}


@pytest.mark.parametrize("kind", WITH_CONTROLS)
def test_a_saved_notebook_keeps_what_it_can_and_says_how_the_controls_come_back(kind, output):
    WITH_CONTROLS[kind]()._ipython_display_()
    (controls,), (kept,) = sorted(output, key=lambda written: "text/html" in written[0])
    assert controls.keys() == {"application/vnd.jupyter.widget-view+json", "text/plain"}
    assert "Run this cell" in controls["text/plain"]
    assert kept.keys() >= {"text/html", "text/plain"}
    assert "application/vnd.jupyter.widget-view+json" not in kept
    assert controls["text/plain"] in kept["text/html"]  # in place of the front end's message


def test_the_question_of_a_card_outlives_its_fields(output):
    WITH_CONTROLS["a guess"]()._ipython_display_()
    (question,), _ = output
    assert question["text/html"].endswith("<b>Your guess:</b> accuracy of x &lt; y (%)?")


def test_groups_always_divide_the_channels():
    play = interactive.play_with_sets("group", live=True)
    channels, groups = play.controls["c"], play.controls["groups"]
    for number in (7, 12):
        channels.value = number
        assert all(number % option == 0 for option in groups.options)
        assert groups.value in groups.options
        assert f"of {4 * number * 9} positions" in play.figure.alt


def test_the_noise_of_a_batch_follows_its_controls():
    play = interactive.play_with_batch_noise(live=True)
    play.controls["batch_size"].value, play.controls["size"].value = 128, 8
    assert "8×8 pixels. At N = 128 " in play.figure.alt
    images, pixels = (line for line in play.figure.axes[0].lines if "sqrt" in line.get_label())
    assert images.get_ydata()[1] == pytest.approx(1 / 4**0.5)  # at N = 4
    assert pixels.get_ydata()[1] == pytest.approx(1 / (4 * 64) ** 0.5)


def test_noise_shrinks_with_the_batch_as_theory_says():
    for size in (1, 4):
        means, variances = interactive._batch_statistics(size, batches=400)
        for n, mean, variance in zip(interactive.BATCH_SIZES, means, variances, strict=True):
            expected = (1 / 3 / n + 2 / 3 / (n * size**2)) ** 0.5
            assert mean.std() == pytest.approx(expected, rel=0.12)
            assert variance.mean() == pytest.approx(1 - expected**2, abs=0.12)
        scatter = [variance.std() for variance in variances]
        assert scatter == sorted(scatter, reverse=True)


@pytest.mark.parametrize(("batch_size", "size"), [(3, 4), (0, 4), (8, 0)])
def test_the_noise_figure_refuses_what_it_cannot_draw(batch_size, size):
    with pytest.raises(ValueError, match="choose"):
        interactive.batch_noise_figure(batch_size, size)


def test_the_drawn_values_differ_from_set_to_set():
    values = interactive._values()
    assert np.ptp(values.mean((0, 2, 3))) > 1  # over channels
    assert np.ptp(values.mean((1, 2, 3))) > 1  # over images


@pytest.mark.parametrize("live", [True, False])
def test_sliders_come_where_somebody_watches(monkeypatch, live):
    monkeypatch.setattr(interactive, "front_end", lambda: live)
    assert isinstance(interactive.play_with_sets("batch"), interactive.Playground) == live
    assert isinstance(interactive.play_with_sets("batch", live=False), Figure)


def played(gain):
    return bar_figure({"bar": gain}, xlabel="size", title="a bar", dataset="")


def test_any_figure_can_be_played_with(output):
    choices, start = {"gain": [1, 2]}, {"gain": 2}
    assert isinstance(interactive.play(played, choices, start), Figure)
    playground = interactive.play(played, choices, start, live=True)
    playground._ipython_display_()
    _, written = output
    assert playground.controls["gain"].value == 2
    playground.controls["gain"].value = 1
    before, after = (data["image/png"] for data in written)
    assert before != after


@pytest.mark.parametrize("start", [{"gain": 3}, {}])
def test_a_figure_to_play_with_starts_where_a_slider_can_stand(start):
    with pytest.raises(ValueError, match=r"gain cannot start at .*: choose one of 1, 2"):
        interactive.play(played, {"gain": [1, 2]}, start)
