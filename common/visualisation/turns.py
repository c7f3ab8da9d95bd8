"""Networks that take turns, drawn while they do: curves above, the gradient of each layer below."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from common.frontends import front_end
from common.visualisation import theme
from common.visualisation.drawing import (
    WIDTH,
    Look,
    draw_marks,
    heading,
    looks,
    plain,
    start,
    styled,
    whole_numbers,
)

if TYPE_CHECKING:
    from common.training import Turns

REST = 6  # seconds of training for one of drawing


@styled
def turns_figure(turns: Turns, *, marks: Mapping[str, float] | None = None) -> Figure:
    """Test accuracy and training loss so far, and how large each layer's gradient was.

    A bar is its mean over the steps of the last epoch, a dash that over those of the first one.

    Args:
        turns: what ``training.take_turns`` has come to; epochs may be missing.
        marks: horizontal lines at an accuracy in %, for instance a guess.
    """
    look = looks(list(turns.histories))
    title = "training epoch by epoch, and the gradient of each layer's weights"
    history = next(iter(turns.histories.values()))
    ends = ", ".join(
        f"{look[name].label} {h.test_accuracy:.1f} %" if h.epochs else f"{look[name].label} –"
        for name, h in turns.histories.items()
    )
    figure = start(heading(history.dataset, title), 5.95, f"Test accuracy so far: {ends}.")
    # Laid out by hand: it is drawn many times, and matplotlib's layout would take half of it.
    figure.set_layout_engine("none")
    place = functools.partial(_place, figure)
    panels = [figure.add_axes(place(k, 2, 3.3, 2.45)) for k in range(2)]
    lower = [figure.add_axes(place(k, len(look), 0.9, 1.55)) for k in range(len(look))]
    for axes, column, name in zip(
        panels, ("test_accuracy", "train_loss"), ("test accuracy in %", "training loss"),
        strict=True,
    ):  # fmt: skip
        for kind, run in turns.histories.items():
            epochs = range(1, len(run.epochs) + 1)
            values = run.column(column) if run.epochs else []
            axes.plot(
                epochs, values, color=look[kind].colour, marker=look[kind].marker, linewidth=2,
                markersize=6,
            )  # fmt: skip
        axes.set(xlabel="epoch", ylabel=name, xlim=(0.8, turns.recipe.epochs + 0.2))
        whole_numbers(axes)
    draw_marks(panels[0], marks or {})
    panels[0].set_ylim(bottom=0)
    _gradients(lower, turns, look)
    handles = [
        Line2D([], [], color=one.colour, marker=one.marker, linewidth=2, label=plain(one.label))
        for one in look.values()
    ]
    handles += [
        Line2D([], [], color=colour, marker=marker, linestyle="", markersize=9, label=words)
        for colour, marker, words in (
            ("#999999", "s", "gradient in the last epoch"), ("black", "_", "in the first"),
        )
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))
    return figure


def _place(
    figure: Figure, number: int, columns: int, bottom: float, height: float
) -> tuple[float, float, float, float]:
    """Where panel ``number`` of a row stands, as shares of the figure; arguments in inches."""
    gap = 0.75 if columns == 2 else 0.12
    width = (WIDTH - 0.85 - gap * (columns - 1)) / columns
    left, total = 0.7 + number * (width + gap), figure.get_figheight()
    return left / WIDTH, bottom / total, width / WIDTH, height / total


def _gradients(panels: Sequence[Axes], turns: Turns, look: dict[str, Look]) -> None:
    """A panel a network, a bar a layer, on one logarithmic axis."""
    rows = {name: np.array(rows[-1]) for name, rows in turns.gradients.items() if rows}
    ends = [np.array([*rows[0], *rows[-1]]) for rows in turns.gradients.values() if rows]
    # A gradient of exactly nothing has no place on a logarithmic axis: no bar.
    sizes = [size for end in ends for size in end if size > 0] or [1.0]
    least = max(min(sizes) / 3, 1e-12)
    for axes, name in zip(panels, turns.gradients, strict=True):
        if name in rows:
            axes.bar(
                range(1, len(rows[name]) + 1), np.maximum(rows[name] - least, 0), bottom=least,
                color=look[name].colour, width=0.8,
            )  # fmt: skip
        if name in rows and len(turns.gradients[name]) > 1:
            first = np.array(turns.gradients[name][0])
            for colour, width in (("white", 4), ("black", 1.5)):  # to be seen on any bar
                axes.plot(
                    np.flatnonzero(first) + 1, first[first > 0], "_", color=colour,
                    markeredgewidth=width, markersize=4.5,
                )  # fmt: skip
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.tick_params(labelleft=axes is panels[0])
        axes.set_title(plain(look[name].label), fontsize=11, color=theme.ink(look[name].colour))
        axes.set(xlim=(0.4, len(turns.layers) + 0.6), ylim=(least, 3 * max(sizes)))
        axes.set_xlabel("layer, input to output")
        whole_numbers(axes)
    panels[0].set_ylabel("size of the gradient")


def watch_turns(
    *, marks: Mapping[str, float] | None = None, live: bool | None = None
) -> Callable[[Turns], None]:
    """What ``training.take_turns`` is to ``show``: the figure, drawn anew in the same place.

    Where nothing can be redrawn a notebook gets it once, when all is over, and a script gets none.
    Drawing takes a small share of the time, however slow the machine is.

    marks: as for ``turns_figure``. live: whether to redraw; None means where a notebook can.
    """
    live = front_end() if live is None else live
    handle, due = None, 0.0

    def show(turns: Turns) -> None:
        nonlocal handle, due
        if "IPython" not in sys.modules or sys.modules["IPython"].get_ipython() is None:
            return
        if turns.running and not (live and time.perf_counter() >= due):
            return
        from IPython.display import DisplayHandle

        began = time.perf_counter()
        data, metadata = turns_figure(turns, marks=marks)._repr_mimebundle_()
        if handle is None:
            handle = DisplayHandle()
            handle.display(data, metadata=metadata, raw=True)
        else:
            handle.update(data, metadata=metadata, raw=True)
        due = time.perf_counter() + REST * (time.perf_counter() - began)

    return show
