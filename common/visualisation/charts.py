"""Charts of any lines and bars, and of what happens inside a network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from common.visualisation import theme
from common.visualisation.drawing import (
    DASHES,
    FAINT,
    SMALL,
    as_array,
    band,
    draw_marks,
    heading,
    legends,
    looks,
    name_ticks,
    plain,
    signed,
    some,
    start,
    styled,
    text_width,
    whole_numbers,
)


@styled
def line_figure(
    x: Sequence[Any],
    lines: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    dataset: str,
    norm: str | None = None,
    xscale: str = "linear",
    yscale: str = "linear",
    marks: Mapping[str, float] | None = None,
    guides: Mapping[str, Any] | None = None,
    spread: str = "range",
    ylim: tuple[float | None, float | None] | None = None,
    rows: str = "seeds",
) -> Figure:
    """Lines with markers over one x axis, such as accuracy against batch size or groups.

    Args:
        x: numbers, or names for places at equal distances.
        lines: by name: values ``(len(x),)``, or ``(rows, len(x))`` to draw the mean of the rows
            (seeds) as a line and their spread as a band. A norm's kind as a name gets its colour.
            NaN leaves a gap.
        xlabel, ylabel: with units.
        title, dataset: what is shown, and the data set's title ("" if no data set is involved).
        norm: the lines are variants of this norm and get shades of its colour.
        xscale: ``linear``, ``log2`` (ticks at the x values), ``log`` or ``even`` (the x values at
            equal distances).
        yscale: ``linear`` or ``log``.
        marks: horizontal lines to compare with, for instance ``{"chance": 10}``.
        guides: thin grey lines to compare with, by name: values ``(len(x),)``.
        spread: ``range`` or ``sd``.
        ylim: lowest and highest y, either may be None.
        rows: what the rows of ``(rows, len(x))`` are, for the legend.

    Raises ``ValueError`` if there are no lines, a line does not fit ``x``, or for another scale.
    """
    some(lines, "lines")
    arrays = {name: _as_rows(name, values, len(x)) for name, values in lines.items()}
    if xscale not in ("linear", "log2", "log", "even") or yscale not in ("linear", "log"):
        raise ValueError(
            f"Unknown scales {xscale!r} and {yscale!r}; choose linear, log2, log or even for x "
            "and linear or log for y."
        )
    named = any(isinstance(value, str) for value in x)
    even = named or xscale == "even"
    places = np.arange(len(x)) if even else as_array(x).astype(float)
    look = looks(list(lines), norm)
    figure = start(heading(dataset, title), 4.2)
    axes = figure.subplots()
    for name, values in arrays.items():
        mine = look[name]
        label = plain(mine.label) + (f", mean of {len(values)} {rows}" if len(values) > 1 else "")
        axes.plot(
            places, values.mean(0), color=mine.colour, marker=mine.marker, linestyle=mine.dashes,
            linewidth=2, markersize=7, label=label,
        )  # fmt: skip
        if len(values) > 1:
            low, high = band(values, spread)
            axes.fill_between(places, low, high, color=mine.colour, alpha=0.15, linewidth=0)
    for (name, values), dashes in zip((guides or {}).items(), itertools.cycle(DASHES[1:])):
        axes.plot(
            places, as_array(values), color=FAINT, linestyle=dashes, linewidth=1.2, zorder=1,
            label=plain(name),
        )  # fmt: skip
    draw_marks(axes, marks or {})
    axes.set_yscale(yscale)
    if yscale == "log":
        _more_ticks(axes)
    if xscale in ("log2", "log") and not even:
        axes.set_xscale("log", base=2 if xscale == "log2" else 10)
    if xscale == "log2" and not even:
        axes.set_xticks(places, [f"{value:g}" for value in places])
        axes.xaxis.set_minor_locator(NullLocator())
    if even:
        name_ticks(axes, [str(value) for value in x])
    if all(isinstance(value, int) for value in x) and xscale == "linear":
        whole_numbers(axes)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if ylim:
        axes.set_ylim(*ylim)
    several = any(len(values) > 1 for values in arrays.values())
    if len(lines) > 1 or several or guides:
        words = f"lowest to highest of the {rows}" if spread == "range" else "mean ± sd"
        what = [Line2D([], [], color="#444444", alpha=0.25, linewidth=8, label=f"band: {words}")]
        legends(figure, axes.get_legend_handles_labels()[0], what if several else [])
    return figure


def _more_ticks(axes: Axes) -> None:
    """1, 2 and 5 of each decade of the y axis, as plain numbers, where there are few decades."""
    low, high = axes.get_ylim()
    if high / low < 1e4:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


@styled
def bar_figure(
    values: Mapping[str, float],
    *,
    xlabel: str,
    title: str,
    dataset: str,
    norm: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> Figure:
    """Horizontal bars from zero, for counts such as the parameters of three LayerNorms.

    Args:
        values: by name, in the order to show; a norm's kind as a name gets its colour.
        xlabel: with the unit.
        title, dataset: what is shown, and the data set's title ("" if no data set is involved).
        norm: the bars are variants of this norm.
        notes: by name: a few words to stand after the value.

    Raises ``ValueError`` without values, or for one below zero (a bar must start at zero).
    """
    some(values, "values")
    if min(values.values()) < 0:
        raise ValueError("A bar starts at zero; for values below zero use line_figure.")
    names = list(values)
    look = looks(names)
    colours = [
        look[name].colour if name in theme.COLOURS else theme.COLOURS.get(norm, "#5B6B7A")
        for name in names
    ]
    told = ", ".join(f"{look[name].label} {values[name]:,}" for name in names)
    figure = start(heading(dataset, title), 0.75 + 0.5 * max(2, len(names)), f"{told}.")
    axes = figure.subplots()
    bars = axes.barh(range(len(names)), [values[name] for name in names], color=colours, height=0.6)
    labels = [f"{values[name]:,}  {(notes or {}).get(name, '')}".rstrip() for name in names]
    axes.bar_label(bars, [plain(text) for text in labels], padding=4, fontsize=10)
    axes.set_yticks(range(len(names)), [plain(look[name].label) for name in names])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    widest = max(text_width(text, 10) for text in labels)
    axes.set_xlim(0, max(1e-9, max(values.values())) * (1 + widest / 4.8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel(xlabel)
    return figure


@styled
def activation_histograms(
    before: Any,
    after: Any,
    *,
    norm: str,
    dataset: str,
    channels: Sequence[int] = (0, 1, 2, 3),
    title: str = "",
) -> Figure:
    """The values of some channels before and after a norm, with their mean and spread.

    Args:
        before, after: the norm's input and output, ``(N, C, H, W)``.
        norm: for colour and title.
        dataset: title of the data set the activations come from.
        channels: the channels to show.
        title: instead of the usual one.

    Raises ``ValueError`` if the shapes differ or a channel is out of range.
    """
    before, after = as_array(before), as_array(after)
    if before.shape != after.shape or before.ndim != 4:
        raise ValueError(
            f"before is {before.shape} and after {after.shape}; both must be one (N, C, H, W)."
        )
    _check_channels(channels, before.shape[1])
    look = looks([norm])[norm]
    title = title or f"activations before and after {look.label}"
    figure = start(heading(dataset, title), 3.3)
    panels = figure.subplots(1, len(channels), squeeze=False, sharey=True)[0]
    for axes, channel in zip(panels, channels, strict=True):
        told = []
        pair = (before[:, channel].ravel(), after[:, channel].ravel())
        low, high = np.percentile(np.concatenate(pair), (0.2, 99.8))
        bins = np.linspace(low, high if high > low else low + 1, 51)
        for values, colour, fill, name in zip(
            pair, ("#777777", look.colour), (0.35, 0.25), ("before", "after"), strict=True
        ):
            weights = np.full(len(values), 100 / len(values))
            axes.hist(values, bins, weights=weights, color=colour, alpha=fill)
            axes.hist(
                values, bins, weights=weights, color=colour, histtype="step", linewidth=1.6,
                label=name,
            )  # fmt: skip
            told.append(f"{name}: {signed(values.mean())} ± {values.std():.2f}")
        axes.set_title(f"channel {channel}\n" + "\n".join(told), fontsize=SMALL)
        axes.set_xlabel("value")
        figure.alt += f" Channel {channel}: {', '.join(told)}."
    panels[0].set_ylabel("share of the values in %")
    handles, names = panels[0].get_legend_handles_labels()
    for handle, name in zip(handles, names, strict=True):
        handle.set_label(f"{name} {look.label} (mean ± standard deviation above)")
    legends(figure, handles)
    return figure


@styled
def running_statistics(
    batch_mean: Any,
    running_mean: Any,
    batch_var: Any,
    running_var: Any,
    *,
    dataset: str,
    channel: int = 0,
    momentum: float = 0.1,
    title: str = "",
) -> Figure:
    """BatchNorm's running mean and variance of a channel following those of the batches.

    A mark stands at the step after which 99 % of the way from the first values is done.

    Args:
        batch_mean, running_mean, batch_var, running_var: ``(steps, C)``, after each step.
        dataset: title of the data set.
        channel: the channel to show.
        momentum: the weight of a new batch, between 0 and 1.
        title: instead of the usual one.

    Raises ``ValueError`` if the shapes differ or the channel is out of range.
    """
    table = {
        "mean": (as_array(batch_mean), as_array(running_mean)),
        "variance": (as_array(batch_var), as_array(running_var)),
    }
    shapes = {values.shape for pair in table.values() for values in pair}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"The statistics have the shapes {shapes}; all must be one (steps, C).")
    steps, count = next(iter(shapes))
    _check_channels((channel,), count)
    colour = theme.COLOURS["batch"]
    title = title or f"BatchNorm's statistics of channel {channel}, of each batch and running"
    done = math.ceil(math.log(0.01) / math.log(1 - momentum))
    figure = start(heading(dataset, title), 3.3)
    panels = figure.subplots(1, 2)
    at = np.arange(1, steps + 1)
    for axes, (name, (batch, running)) in zip(panels, table.items(), strict=True):
        axes.plot(
            at, batch[:, channel], color=theme.mix(colour, 0.4), linewidth=1,
            marker="." if steps <= 100 else "", label="of the batch",
        )  # fmt: skip
        axes.plot(
            at, running[:, channel], color=theme.mix(colour, 0.75, "#000000"), linewidth=2.4,
            label="running",
        )  # fmt: skip
        if done <= steps:
            axes.axvline(done, color=FAINT, linestyle=DASHES[2], linewidth=1.4, zorder=1)
            axes.annotate(
                "99 %", (done, 0), (-3, 4), xycoords=("data", "axes fraction"), ha="right",
                textcoords="offset points", fontsize=SMALL, color=FAINT,
            )  # fmt: skip
        axes.set(xlabel="training step (batch)", ylabel=name)
        whole_numbers(axes)
    figure.alt = f"99 % of the way from the first values are done after {done} steps."
    legends(figure, panels[0].get_legend_handles_labels()[0])
    return figure


@styled
def removed_gradient(
    x_hat: Any, before: Any, after: Any, *, dataset: str, title: str = "", norm: str = "batch"
) -> Figure:
    """What a norm takes away from the gradient of one set S: its least squares line over x̂.

    Args:
        x_hat: the normalised values, ``(|S|,)``; of more than 2,000 some are drawn.
        before: the gradient that arrives at them.
        after: what goes on to the norm's input, times the standard deviation.
        dataset: title of the data set ("" if no data set is involved).
        title: instead of the usual one.
        norm: for the colour.

    Raises ``ValueError`` if the shapes differ.
    """
    values, *pair = (as_array(part).ravel() for part in (x_hat, before, after))
    if len({len(part) for part in (values, *pair)}) != 1:
        raise ValueError("x_hat, before and after must hold the same values; their sizes differ.")
    title = title or "the gradient in one channel, on its way back through the norm"
    figure = start(heading(dataset, title), 3.6)
    panels = figure.subplots(1, 2, sharey=True)
    shown = slice(None, None, math.ceil(len(values) / 2000))
    ends = np.array([values.min(), values.max()])
    words = ("arrives from above", "goes on below, times σ")
    for axes, gradient, name in zip(panels, pair, words, strict=True):
        slope, mean = np.polyfit(values, gradient, 1)
        axes.plot(
            values[shown], gradient[shown], ".", color=theme.mix(theme.COLOURS[norm], 0.6),
            markersize=3, label="a value of the channel",
        )  # fmt: skip
        axes.plot(ends, mean + slope * ends, color="black", linewidth=2, label="least squares line")
        axes.set(xlabel=r"normalised value $\hat x$", title=name)
        share = (mean**2 + slope**2 * values.var()) / max(np.square(gradient).mean(), 1e-300)
        figure.alt += f" What {name}: the line holds {share:.0%} of the squares."
    panels[0].set_ylabel("gradient of the loss")
    legends(figure, panels[0].get_legend_handles_labels()[0])
    return figure


@styled
def affine_parameters(
    layers: Mapping[str, tuple[Any, Any]], *, norm: str, dataset: str, title: str = ""
) -> Figure:
    """What the scale gamma and the shift beta of each norm layer became.

    Args:
        layers: by name, in depth order: (gamma, beta) of any shape.
        norm: for colour and title.
        dataset: title of the data set the network learned from.
        title: instead of the usual one.

    Raises ``ValueError`` without layers.
    """
    some(layers, "layers")
    look = looks([norm])[norm]
    title = title or f"learned scale and shift of the {look.label} layers"
    figure = start(heading(dataset, title), 5.0)
    panels = figure.subplots(2, 1, sharex=True)
    for row, (axes, symbol, initial) in enumerate(
        zip(panels, (r"scale $\gamma$", r"shift $\beta$"), (1, 0), strict=True)
    ):
        axes.axhline(initial, color=FAINT, linestyle=(0, (3, 2)), linewidth=1.2, zorder=1)
        for place, pair in enumerate(layers.values()):
            _distribution(axes, place, as_array(pair[row]).ravel(), look.colour)
        axes.set_ylabel(f"{symbol}\n(one value a point)")
        axes.grid(axis="x", visible=False)
        axes.annotate(
            f"initial: {initial}", (1.0, initial), xycoords=("axes fraction", "data"),
            xytext=(3, 0), textcoords="offset points", va="center", fontsize=SMALL, color=FAINT,
        )  # fmt: skip
    name_ticks(panels[1], list(layers))
    panels[1].set_xlabel("norm layer, from the input to the output (bar: median)")
    return figure


def _distribution(axes: Axes, place: float, values: np.ndarray, colour: str) -> None:
    """The values as points beside each other (at most 200, evenly picked) and their median."""
    values = np.sort(values)
    if len(values) > 200:
        values = values[np.linspace(0, len(values) - 1, 200).round().astype(int)]
    # Fixed steps of the golden ratio spread points evenly without chance.
    offsets = ((np.arange(len(values)) * 0.618034) % 1 - 0.5) * 0.56
    axes.plot(
        place + offsets, values, "o", color=colour, markersize=4, alpha=0.5, markeredgewidth=0
    )
    median = np.median(values)
    axes.plot([place - 0.36, place + 0.36], [median] * 2, color="black", linewidth=2)


def gradient_norms(
    layers: Sequence[str],
    norms: Mapping[str, Any],
    *,
    dataset: str,
    title: str = "size of the gradient in each layer",
    ylabel: str = r"norm of the gradient $\|\partial L / \partial W\|$",
) -> Figure:
    """The size of the loss's gradient in each layer, on a logarithmic axis.

    Args:
        layers: names, in depth order.
        norms: by norm or any other name: one value for each layer, or several rows of them
            (seeds, batches), ``(len(layers),)`` or ``(rows, len(layers))``.
        dataset, title, ylabel: words.
    """
    return line_figure(
        list(layers),
        norms,
        xlabel="layer, from the input to the output",
        ylabel=ylabel,
        title=title,
        dataset=dataset,
        yscale="log",
    )


def _check_channels(channels: Sequence[int], count: int) -> None:
    some(channels, "channels")
    wrong = [channel for channel in channels if not 0 <= channel < count]
    if wrong:
        raise ValueError(f"No channel {wrong[0]}; there are {count} (0 to {count - 1}).")


def _as_rows(name: str, values: Any, length: int) -> np.ndarray:
    """``(rows, length)``; one row if ``values`` are one line."""
    rows = np.atleast_2d(as_array(values).astype(float))
    if rows.ndim != 2 or rows.shape[1] != length:
        raise ValueError(f"The line {name!r} has the shape {rows.shape}; x has {length} values.")
    return rows
