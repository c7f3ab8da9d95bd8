"""The figures to play with: sliders where a front end is there, a picture everywhere else."""

from __future__ import annotations

from types import SimpleNamespace

import IPython
import ipywidgets
import numpy as np
import pytest
from matplotlib.figure import Figure

from common.visualisation import bar_figure, interactive


def controls_of(widget):
    row, picture = widget.children
    return {control.description: control for control in row.children}, picture


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_without_a_front_end_there_is_a_figure(norm):
    figure = interactive.play_with_sets(norm)
    assert isinstance(figure, Figure)
    bundle, _ = figure._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/plain"}


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
def test_the_controls_redraw_the_figure(norm, names):
    controls, picture = controls_of(interactive.play_with_sets(norm, live=True))
    assert list(controls) == names
    for name in (names[0], names[-1]):  # all are wired in one loop; a drawing takes its time
        control, before = controls[name], picture.value
        if name == "S":
            control.index = 2
        else:
            control.value = 1 if name == "groups" else 2
        assert picture.value != before, name
        assert bytes(picture.value).startswith(b"\x89PNG")


def test_groups_always_divide_the_channels():
    controls, picture = controls_of(interactive.play_with_sets("group", live=True))
    channels, groups = controls["C"], controls["groups"]
    for number in (7, 12):
        before = picture.value
        channels.value = number
        assert all(number % option == 0 for option in groups.options)
        assert groups.value in groups.options
        assert picture.value != before


def test_the_noise_of_a_batch_follows_its_controls():
    controls, picture = controls_of(interactive.play_with_batch_noise(live=True))
    for name, value in [("N", 128), ("H = W", 8)]:
        before = picture.value
        controls[name].value = value
        assert picture.value != before


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


@pytest.mark.parametrize(
    ("metadata", "live"),
    [({"cellId": "a", "trusted": True}, True), ({}, False)],
    ids=["JupyterLab", "nbclient"],
)
def test_a_front_end_is_told_by_the_request_it_sends(monkeypatch, metadata, live):
    shell = SimpleNamespace(kernel=object(), get_parent=lambda: {"metadata": metadata})
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    assert isinstance(interactive.play_with_sets("batch"), ipywidgets.VBox) == live
    assert isinstance(interactive.play_with_sets("batch", live=False), Figure)


def test_a_terminal_is_no_front_end(monkeypatch):
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace())
    assert isinstance(interactive.play_with_sets("batch"), Figure)


def played(gain):
    return bar_figure({"bar": gain}, xlabel="size", title="a bar", dataset="")


def test_any_figure_can_be_played_with():
    choices, start = {"gain": [1, 2]}, {"gain": 2}
    assert isinstance(interactive.play(played, choices, start), Figure)
    controls, picture = controls_of(interactive.play(played, choices, start, live=True))
    before = picture.value
    assert controls["gain"].value == 2
    controls["gain"].value = 1
    assert picture.value != before


@pytest.mark.parametrize("start", [{"gain": 3}, {}])
def test_a_figure_to_play_with_starts_where_a_slider_can_stand(start):
    with pytest.raises(ValueError, match=r"gain cannot start at .*: choose one of 1, 2"):
        interactive.play(played, {"gain": [1, 2]}, start)
