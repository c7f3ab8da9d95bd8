"""Panels side by side that share their axes, a line a norm in each: the figure of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from common.visualisation.drawing import (
    draw_marks,
    heading,
    legends,
    looks,
    name_ticks,
    plain,
    some,
    start,
    styled,
    whole_numbers,
)


@styled
def panel_figure(
    panels: Mapping[str, tuple[Sequence[Any], Mapping[str, Any]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    dataset: str,
    scales: tuple[str, str] = ("even", "linear"),
    rows: str = "seeds",
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Lines with their spread in one or more panels.

    Args:
        panels: by title ("" for a single one): the x values (numbers, or names), and the lines by
            name: ``(rows, len(x))`` each, NaN where a value is not there yet. A norm's kind as a
            name gets its colour and marker.
        xlabel, ylabel: with units.
        title, dataset: what is shown, and the data set's title.
        scales: of x (``linear``, ``log``, ``even`` distances) and y (``linear``, ``log``).
        rows: what the rows are, for the legend; a bar spans their lowest and highest value.
        marks: horizontal lines in each panel, for instance a guess.

    Raises ``ValueError`` without panels or lines.
    """
    some(panels, "panels")
    names = list(dict.fromkeys(name for _, lines in panels.values() for name in lines))
    some(names, "lines")
    look = looks(names)
    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    height = math.ceil(len(panels) / columns)
    figure = start(heading(dataset, title), (3.6 if height == 1 else 2.9) * height)
    grid = figure.subplots(height, columns, squeeze=False, sharey=True)
    several = 1
    for axes, (name, (x, lines)) in zip(grid.flat, panels.items(), strict=False):
        even = scales[0] == "even" or any(isinstance(value, str) for value in x)
        places = np.arange(len(x)) if even else np.asarray(x, dtype=float)
        for place, (line, values) in enumerate(lines.items()):
            values = np.atleast_2d(np.asarray(values, dtype=float))
            several = max(several, len(values))
            # Side by side where x has no scale, so that no norm hides another.
            at = places + (0.08 * (place - (len(lines) - 1) / 2) if even else 0)
            _line(axes, at, values, look[line], joined=not any(isinstance(v, str) for v in x))
        draw_marks(axes, marks or {})
        axes.set_title(plain(name), fontsize=11)
        axes.set_yscale(scales[1])
        if even:
            name_ticks(axes, [f"{v:g}" if isinstance(v, float) else str(v) for v in x])
        elif scales[0] == "log":
            axes.set_xscale("log")
            axes.set_xticks(places, [f"{value:g}" for value in places])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_minor_formatter(NullFormatter())
            if len(places) > 7:
                axes.tick_params(axis="x", rotation=40)
        else:
            whole_numbers(axes)
        axes.set_xlabel(xlabel)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(ylabel)
    handles = [
        Line2D([], [], color=look[n].colour, marker=look[n].marker, linestyle=look[n].dashes,
               label=plain(look[n].label))
        for n in names
    ]  # fmt: skip
    floor = None
    if scales[1] == "log":
        floor = _floor([values for _, lines in panels.values() for values in lines.values()])
        grid.flat[0].set_ylim(bottom=floor)
    words = f"mean of {several} {rows}; bar: lowest to highest" if several > 1 else ""
    words += ", and on below the axis" if words and floor else ""
    spread = [Line2D([], [], color="#444444", marker="|", markersize=12, linestyle="", label=words)]
    legends(figure, handles, spread if several > 1 else [])
    return figure


def _floor(lines: Sequence[Any]) -> float | None:
    """Where a logarithmic axis should end, if a run 100 times below all means would stretch it."""
    tables = [np.atleast_2d(np.asarray(values, dtype=float)) for values in lines]
    means = [np.nanmean(t[:, ~np.isnan(t).all(0)], axis=0) for t in tables]
    lowest = min((mean[mean > 0].min() for mean in means if (mean > 0).any()), default=math.inf)
    if not any((t < lowest / 100).any() for t in tables) or lowest == math.inf:
        return None
    return 10 ** math.floor(math.log10(lowest) - 0.15)


def _line(axes: Any, at: np.ndarray, values: np.ndarray, look: Any, joined: bool) -> None:
    """The mean of the rows that are there, with a bar from the lowest to the highest."""
    there = ~np.isnan(values).all(0)
    at, values = at[there], values[:, there]
    mean, low, high = (f(values, axis=0) for f in (np.nanmean, np.nanmin, np.nanmax))
    axes.errorbar(
        at, mean, yerr=np.maximum(0, [mean - low, high - mean]), color=look.colour,
        marker=look.marker, linestyle=look.dashes if joined else "", linewidth=1.8, markersize=6,
        elinewidth=1.2, capsize=2,
    )  # fmt: skip
