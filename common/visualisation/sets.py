"""The sets of values that each norm normalises together, as numbers and as a figure.

A norm subtracts from a value x the mean of a set S of values and divides by the spread of S:
y = gamma_c * (x - mu_S) / sqrt(sigma_S^2 + eps) + beta_c. The norms differ only in S.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.visualisation import theme
from common.visualisation.drawing import FAINT, SMALL, WIDTH, as_array, some, start, styled

TALLEST = 4.0  # inches: a panel of squares, however many images it shows
SET_KINDS = ("batch", "group", "layer", "layer_chw", "layer_c", "instance")

_ONE_CHANNEL_EACH = "2C"
_SETS = {  # kind: title, formula of S, its size, number of sets, number of scales and shifts
    "batch": (
        "BatchNorm",
        r"$S=\{(n,h,w)\}$ of one channel $c$",
        r"N\cdot H\cdot W",
        "C",
        _ONE_CHANNEL_EACH,
    ),
    "group": (
        "GroupNorm",
        r"$S=\{(c,h,w): c$ in the group$\}$ of one image $n$",
        r"(C/G)\cdot H\cdot W",
        r"N\cdot G",
        _ONE_CHANNEL_EACH,
    ),
    "layer": (
        "LayerNorm",
        r"$S=\{(c,h,w)\}$ of one image $n$",
        r"C\cdot H\cdot W",
        "N",
        _ONE_CHANNEL_EACH,
    ),
    "layer_chw": (
        "LayerNorm([C, H, W])",
        r"$S=\{(c,h,w)\}$ of one image $n$",
        r"C\cdot H\cdot W",
        "N",
        r"2\cdot C\cdot H\cdot W",
    ),
    "layer_c": (
        "LayerNorm(C), over C alone",
        r"$S=\{c\}$ of one pixel $(h,w)$ of one image $n$",
        "C",
        r"N\cdot H\cdot W",
        _ONE_CHANNEL_EACH,
    ),
    "instance": (
        "InstanceNorm",
        r"$S=\{(h,w)\}$ of one channel $c$ of one image $n$",
        r"H\cdot W",
        r"N\cdot C",
        _ONE_CHANNEL_EACH,
    ),
}
_FAMILY = {"layer_chw": "layer", "layer_c": "layer", "instance": "group"}


def set_numbers(kind: str, shape: Sequence[int], groups: int = 1) -> np.ndarray:
    """The number of the set S that each position belongs to, int ``(N, C, H, W)``.

    Values in one set share a mean and a variance; that is all in which the norms differ.

    Args:
        kind: ``batch``, ``group``, ``layer`` (over C, H and W: GroupNorm with one group),
            ``layer_chw`` (the same sets, but a scale and shift for each position), ``layer_c``
            (over C alone, as in ConvNeXt) or ``instance``.
        shape: (N, C, H, W).
        groups: of ``group``.

    Raises ``ValueError`` for another kind, a shape below 1, or groups that do not divide C.
    """
    if kind not in SET_KINDS:
        raise ValueError(f"Unknown kind {kind!r}; choose one of {', '.join(SET_KINDS)}.")
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"The shape is {tuple(shape)}; it must be (N, C, H, W), all 1 or more.")
    keys = _set_keys(kind, shape, groups)
    _, numbers = np.unique(keys.reshape(len(keys), -1), axis=1, return_inverse=True)
    return numbers.reshape(tuple(shape))


def _set_keys(kind: str, shape: Sequence[int], groups: int) -> np.ndarray:
    """The coordinates that name each position's set, ``(k, N, C, H, W)``."""
    n, c, h, w = np.indices(tuple(shape))
    channels = shape[1]
    if kind == "group" and (groups < 1 or channels % groups):
        divisors = ", ".join(str(d) for d in range(1, channels + 1) if channels % d == 0)
        raise ValueError(
            f"{groups} groups do not divide {channels} channels; choose one of {divisors}."
        )
    per_group = channels // groups if kind == "group" else channels
    keys = {
        "batch": [c],
        "group": [n, c // per_group],
        "layer": [n],
        "layer_chw": [n],
        "layer_c": [n, h, w],
        "instance": [n, c],
    }
    return np.stack(keys[kind])


def set_mask(
    kind: str, shape: Sequence[int], groups: int = 1, position: Sequence[int] = (0, 0, 0, 0)
) -> np.ndarray:
    """Which positions are normalised together with ``position``, bool ``(N, C, H, W)``.

    Arguments and errors as for ``set_numbers``; ``position`` is (n, c, h, w), in the shape.
    """
    numbers = set_numbers(kind, shape, groups)
    if len(position) != 4 or not all(0 <= p < s for p, s in zip(position, shape, strict=True)):
        raise ValueError(f"The position {tuple(position)} is not inside the shape {tuple(shape)}.")
    return numbers == numbers[tuple(position)]


@styled
def axes_figure(
    kinds: Sequence[str] = ("batch", "group", "layer"),
    n: int = 4,
    c: int = 6,
    h: int = 3,
    w: int = 3,
    groups: int = 3,
    *,
    position: Sequence[int] | None = None,
    values: Any = None,
    title: str = "",
    height: float | None = None,
) -> Figure:
    """Which positions of an ``(N, C, H, W)`` tensor each norm averages over.

    A row is an image, a column a channel, each small square a position (h, w). The set S of one
    position x (the white dot) has the norm's full colour, all other sets are light tints of it.

    Args:
        kinds: any of ``SET_KINDS``, a panel each.
        n, c, h, w: the shape of the tensor.
        groups: of ``group``.
        position: (n, c, h, w) of x; if None, a position that shows the sets well.
        values: a tensor ``(n, c, h, w)``; if given, the mean and spread of each set are drawn
            below its panel.
        title: instead of the usual one.
        height: of a panel, in inches (default: what the shape asks for).

    Raises ``ValueError`` as ``set_numbers`` does, or if ``values`` have another shape.
    """
    some(kinds, "kinds")
    shape = (n, c, h, w)
    masks = {}
    if position is None:
        position = (min(1, n - 1), c // 3, h // 2, w // 2)
    for kind in kinds:
        masks[kind] = set_mask(kind, shape, groups, position)
    if values is not None:
        values = as_array(values).astype(float)
        if values.shape != shape:
            raise ValueError(f"The values have the shape {values.shape}; expected {shape}.")
    columns = len(kinds) if len(kinds) <= 3 else (2 if len(kinds) == 4 else 3)
    rows = math.ceil(len(kinds) / columns)
    aspect = (n * (h + _TILE_GAP)) / (c * (w + _TILE_GAP))
    panel_width = WIDTH / columns - 0.6
    panel = height or min(max(panel_width * aspect, 0.8), TALLEST)
    strip = 1.25 if values is not None else 0.0
    title = title or "The set S that the value x (white dot) is normalised over"
    alt = "; ".join(
        f"{_SETS[kind][0]}: {int(masks[kind].sum())} of {n * c * h * w} positions" for kind in kinds
    )
    figure = start(title, rows * (panel + 1.5 + (strip + 0.8 if strip else 0)), f"{alt}.")
    # Each row of panels has a row of charts below it if there are values to show.
    heights = [panel, strip] * rows if strip else [panel] * rows
    grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for axes in grid.ravel():
        axes.set_visible(False)
    upper, lower = (grid[::2], grid[1::2]) if strip else (grid, grid)
    for kind, axes, below in zip(kinds, upper.ravel(), lower.ravel(), strict=False):
        axes.set_visible(True)
        _sets_panel(axes, kind, shape, groups, position, masks[kind])
        if kind == "layer" and not {"layer_chw", "layer_c"}.isdisjoint(kinds):
            # Beside its namesakes it goes by the name that tells them apart.
            axes.set_title("GroupNorm(1, C)", **_title_look(kind))
        if strip:
            below.set_visible(True)
            _sets_strip(below, kind, groups, position, values)
    if strip:
        charts = lower.ravel()[: len(kinds)]
        limits = np.array([axes.get_ylim() for axes in charts])
        for axes in charts:
            axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())
    return figure


_TILE_GAP = 0.7  # between two channels or images, in cells


def _sets_panel(
    axes: Axes,
    kind: str,
    shape: Sequence[int],
    groups: int,
    position: Sequence[int],
    mask: np.ndarray,
) -> None:
    """The tensor as tiles of cells, coloured by set, with the formula below."""
    n, c, h, w = shape
    colour = theme.COLOURS[_FAMILY.get(kind, kind)]
    tints = [theme.mix(colour, 0.14), theme.mix(colour, 0.30)]
    # Neighbouring sets differ in one coordinate by one, so their sums are odd and even.
    odd = _set_keys(kind, shape, groups).sum(0) % 2
    corners = _cell_corners(shape)
    faces = [colour if m else tints[o] for m, o in zip(mask.ravel(), odd.ravel(), strict=True)]
    cells = PolyCollection(corners, facecolors=faces, edgecolors="white", linewidths=0.8)
    axes.add_collection(cells)
    x, y = corners[np.ravel_multi_index(tuple(position), tuple(shape))].mean(0)
    axes.plot([x], [y], "o", color="white", markersize=5, markeredgecolor="black")
    axes.set(
        xlim=(-0.5, c * (w + _TILE_GAP) - _TILE_GAP + 0.5),
        ylim=(n * (h + _TILE_GAP) - _TILE_GAP + 0.5, -0.5),
        aspect="equal",
        xlabel="channel $c$",
        ylabel="image $n$",
    )
    _number_ticks(axes.xaxis, c, w)
    _number_ticks(axes.yaxis, n, h)
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=SMALL, pad=1)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    name, formula, size, sets, affine = _SETS[kind]
    if kind == "group":
        name += f", {groups} group" + ("s" if groups > 1 else "")
    parameters = 2 * c * (h * w if kind == "layer_chw" else 1)
    members, count = int(mask.sum()), int(set_numbers(kind, shape, groups).max()) + 1
    axes.set_title(name, **_title_look(kind))
    text = (
        f"{formula}\n$|S| = {size} = {members}$ value{'s' if members > 1 else ''},  "
        f"${sets} = {count}$ set{'s' if count > 1 else ''}"
    )
    text += f"\n$\\gamma$ and $\\beta$: ${affine} = {parameters}$ parameters"
    axes.annotate(
        text, (0.5, 0), (0, -8), xycoords="axes fraction", textcoords="offset points", ha="center",
        va="top", fontsize=SMALL + 0.5, linespacing=1.5,
    )  # fmt: skip


def _title_look(kind: str) -> dict[str, Any]:
    colour = theme.COLOURS[_FAMILY.get(kind, kind)]
    return {"color": theme.ink(colour), "fontweight": "bold", "pad": 6}


def _cell_corners(shape: Sequence[int]) -> np.ndarray:
    """The four corners of each position's square, ``(N·C·H·W, 4, 2)``."""
    n, c, h, w = np.indices(tuple(shape)).reshape(4, -1)
    x, y = c * (shape[3] + _TILE_GAP) + w, n * (shape[2] + _TILE_GAP) + h
    return np.stack(
        [np.stack([x + dx, y + dy], -1) for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))], 1
    )


def _number_ticks(axis: Any, count: int, cells: int) -> None:
    """One tick in the middle of each tile; where they are many, not every tile has one."""
    every = math.ceil(count / 12)
    shown = range(0, count, every)
    axis.set_ticks([i * (cells + _TILE_GAP) + cells / 2 for i in shown], [str(i) for i in shown])


def _sets_strip(
    axes: Axes, kind: str, groups: int, position: Sequence[int], values: np.ndarray
) -> None:
    """Mean ± standard deviation of each set, that of x in full colour."""
    numbers = set_numbers(kind, values.shape, groups)
    colour = theme.COLOURS[_FAMILY.get(kind, kind)]
    mine = int(numbers[tuple(position)])
    for number in range(int(numbers.max()) + 1):
        members = values[numbers == number]
        look = colour if number == mine else theme.mix(colour, 0.45)
        axes.errorbar(
            [number], [members.mean()], yerr=[members.std()], color=look, marker="o", markersize=4,
            capsize=3, linewidth=1.6, zorder=3 if number == mine else 2,
        )  # fmt: skip
    members = values[numbers == mine]
    axes.set_title(
        f"$\\mu_S = {members.mean():.2f}$, $\\sigma_S = {members.std():.2f}$", fontsize=10
    )
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    axes.set(xlabel="number of the set", ylabel=r"$\mu_S \pm \sigma_S$")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.set_xlim(-0.6, numbers.max() + 0.6)
