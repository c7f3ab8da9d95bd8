"""The race while it runs: redrawn in one place, or shown once where nothing can be redrawn."""

from __future__ import annotations

from types import SimpleNamespace

import IPython
import numpy as np
import pytest

from common.training.history import History
from common.training.recipes import Recipe
from common.training.turns import Turns
from common.visualisation import turns as drawn
from common.visualisation.maps import layer_map


def race(*epochs: int, stopped: bool = False) -> Turns:
    """Networks that have done so many of three epochs."""
    names = ("none", "batch", "group", "layer")[: len(epochs)]
    histories, gradients = {}, {}
    for name, count in zip(names, epochs, strict=True):
        histories[name] = history = History("course", name, 1, Recipe(epochs=3), "pictures")
        for epoch in range(1, count + 1):
            row = {"epoch": epoch, "train_loss": 2.0 / epoch, "test_accuracy": 10.0 * epoch}
            history.epochs.append(row)
        gradients[name] = [[0.0, 1e-4, 0.1]] * count
    return Turns(Recipe(epochs=3), histories, gradients, ["a", "b", "c"], stopped)


@pytest.mark.parametrize("epochs", [(0, 0), (1, 0), (3, 2, 1, 0), (3,)])
def test_it_is_drawn_however_far_it_is(epochs):
    figure = drawn.turns_figure(race(*epochs), marks={"your guess: 20 %": 20})
    accuracy, loss, *bars = figure.axes
    lines = [line for line in accuracy.lines if line.get_marker() != "None"]
    assert [len(line.get_xdata()) for line in lines] == list(epochs)
    assert len(bars) == len(epochs)
    # A layer whose gradient is nothing has no bar.
    assert [sum(bar.get_height() > 0 for bar in panel.patches) for panel in bars] == [
        2 * bool(count) for count in epochs
    ]
    (name,) = accuracy.texts
    assert name.get_text() == "your guess: 20 %"
    assert name.zorder > max(line.zorder for line in accuracy.lines)  # else curves strike it out
    assert accuracy.get_xlim() == loss.get_xlim() == (0.8, 3.2)


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would be sent."""
    sent = []

    class Handle:
        def display(self, data, **_):
            sent.append(("new", set(data)))

        def update(self, data, **_):
            sent.append(("again", set(data)))

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.DisplayHandle", Handle)
    monkeypatch.setattr(drawn, "REST", 0)
    bundle = {"image/png": "", "text/plain": ""}, {}
    figure = SimpleNamespace(_repr_mimebundle_=lambda: bundle)
    monkeypatch.setattr(drawn, "turns_figure", lambda turns, marks: figure)
    return sent


def watch(show):
    for epochs in ((1, 0), (1, 1), (3, 3)):
        show(race(*epochs))


def test_a_live_notebook_sees_one_figure_that_changes(shown):
    watch(drawn.watch_turns(live=True))
    assert [how for how, _ in shown] == ["new", "again", "again"]
    assert all(kinds == {"image/png", "text/plain"} for _, kinds in shown)


def test_drawing_rests_while_the_networks_train_but_not_at_the_end(shown, monkeypatch):
    monkeypatch.setattr(drawn, "REST", 10**9)
    watch(drawn.watch_turns(live=True))
    assert [how for how, _ in shown] == ["new", "again"]


@pytest.mark.parametrize("last", [race(3, 3), race(2, 1, stopped=True)], ids=["over", "stopped"])
def test_where_nothing_can_be_redrawn_it_is_shown_once(shown, last):
    show = drawn.watch_turns(live=False)
    show(race(1, 0))
    show(last)
    assert [how for how, _ in shown] == ["new"]


def test_a_script_is_shown_nothing(shown, monkeypatch):
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    watch(drawn.watch_turns(live=True))
    assert shown == []


def test_a_map_ends_where_floating_point_numbers_end():
    sizes = [[1.0, 0.0], [np.inf, np.nan], [1e-3, 1e20]]
    figure = layer_map({"size": {"none": sizes}}, (1, 2), xlabel="gain", title="t", dataset="d")
    values = figure.axes[0].images[0].get_array()
    assert values.tolist() == [[0, -6], [6, 6], [-3, 6]]


@pytest.mark.parametrize(
    ("rows", "word"), [({}, "rows"), ({"a": {}}, "panels"), ({"a": {"none": [[1, 2, 3]]}}, "shape")]
)
def test_a_map_without_anything_on_it_is_refused(rows, word):
    with pytest.raises(ValueError, match=word):
        layer_map(rows, (1, 2), xlabel="gain", title="t", dataset="d")
