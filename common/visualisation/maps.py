"""A map of layers and what is varied: where in a network values vanish, and where they explode."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from common.visualisation import theme
from common.visualisation.drawing import as_array, heading, looks, plain, some, start, styled

COLOURS = "PuOr"  # brown is large, purple small, white about 1; none of them is a norm's colour
REACH = 6  # decades, as far as values go before the first step


@styled
def layer_map(
    rows: Mapping[str, Mapping[str, Any]],
    x: Sequence[float],
    *,
    xlabel: str,
    title: str,
    dataset: str,
    reach: float = REACH,
) -> Figure:
    """Sizes in each layer, for each value of ``x``: a row a quantity, a panel a norm.

    Args:
        rows: by quantity, by norm: positive sizes ``(layers, len(x))``; zero counts as smaller,
            infinite or NaN as larger than anything on the scale.
        x: what is varied, such as the size of the initial weights, or the steps of a training.
        xlabel: with the unit.
        title, dataset: what is shown, and the data set's title.
        reach: decades to either side of 1; what lies beyond has the colour of the end.

    Raises ``ValueError`` without rows or panels, or for a panel that does not fit ``x``.
    """
    some(rows, "rows")
    names = list(next(iter(rows.values())))
    some(names, "panels")
    look = looks(names)
    figure = start(heading(dataset, title), 2.75 * len(rows) + 0.3)
    figure.photographic = True  # with fewer colours, neighbours on the scale would become one
    grid = figure.subplots(len(rows), len(names), sharex=True, sharey=True, squeeze=False)
    for line, (quantity, panels) in zip(grid, rows.items(), strict=True):
        for axes, name in zip(line, names, strict=True):
            image = _panel(axes, panels[name], len(x), reach)
        line[0].set_ylabel(f"{quantity}\nlayer")
        bar = figure.colorbar(image, ax=list(line), extend="both", pad=0.02)
        bar.set_label("size, as a power of ten")
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(plain(look[name].label), fontsize=11, color=theme.ink(look[name].colour))
    every = range(0, len(x), math.ceil(len(x) / 6))
    for axes in grid[-1]:
        axes.set_xticks(every, [f"{x[i]:g}" for i in every])
        axes.set_xlabel(xlabel)
    return figure


def _panel(axes: Any, sizes: Any, columns: int, reach: float) -> Any:
    sizes = np.asarray(as_array(sizes), dtype=float)
    if sizes.ndim != 2 or sizes.shape[1] != columns:
        raise ValueError(f"A panel has the shape {sizes.shape}; x has {columns} values.")
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(np.isfinite(sizes), np.log10(sizes), np.inf)
    axes.grid(visible=False)
    top = len(sizes) + 0.5
    return axes.imshow(
        np.clip(powers, -reach, reach), cmap=f"{COLOURS}_r", norm=Normalize(-reach, reach),
        aspect="auto", extent=(-0.5, columns - 0.5, top, 0.5),
    )  # fmt: skip
