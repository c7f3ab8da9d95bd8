"""Maps of any numbers that have rows and columns, side by side on one scale of colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from common.visualisation.drawing import as_array, heading, plain, some, start, styled
from common.visualisation.maps import COLOURS


@styled
def heat_maps(
    rows: Mapping[str, Mapping[str, Any]],
    *,
    xlabel: str,
    ylabel: str,
    label: str,
    title: str,
    dataset: str,
    centre: float = 0.0,
    every: int = 0,
) -> Figure:
    """Maps side by side on one scale of colours, such as a map a layer, with a row a seed.

    Args:
        rows: by the row's name, by the panel's: numbers ``(height, width)``; all rows have the
            same panels.
        xlabel, ylabel: what the columns and rows of a map are.
        label: of the colour bar, with the unit.
        title, dataset: what is shown, and the data set's title.
        centre: the number that is drawn white; the scale reaches as far to either side.
        every: a thin line after so many columns, where these belong together; 0 for none.

    Raises ``ValueError`` without rows or panels, or for a map that is none.
    """
    some(rows, "rows")
    names = list(next(iter(rows.values())))
    some(names, "panels")
    maps = {row: {n: _map(n, panels[n]) for n in names} for row, panels in rows.items()}
    reach = max(abs(one - centre).max() for panels in maps.values() for one in panels.values())
    scale = Normalize(centre - (reach or 1), centre + (reach or 1))
    figure = start(heading(dataset, title), 2.1 * len(rows) + 0.3)
    figure.photographic = True
    grid = figure.subplots(len(rows), len(names), squeeze=False)
    for line, (row, panels) in zip(grid, maps.items(), strict=True):
        for axes, name in zip(line, names, strict=True):
            image = axes.imshow(panels[name], cmap=f"{COLOURS}_r", norm=scale, aspect="auto")
            axes.grid(visible=False)
            for place in range(every, panels[name].shape[1], every) if every else ():
                axes.axvline(place - 0.5, color="#444444", linewidth=0.6)
            for axis, count in zip((axes.yaxis, axes.xaxis), panels[name].shape, strict=True):
                axis.set_ticks([0, count - 1])
        line[0].set_ylabel(f"{plain(row)}\n{ylabel}")
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(plain(name), fontsize=11)
    for axes in grid[-1]:
        axes.set_xlabel(xlabel)
    figure.colorbar(image, ax=grid, pad=0.02).set_label(label)
    return figure


def _map(name: str, values: Any) -> np.ndarray:
    values = as_array(values).astype(float)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"The map {name!r} has the shape {values.shape}; it must be two lengths.")
    return values
