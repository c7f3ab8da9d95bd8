"""Runs drawn: their curves over the epochs, and norms and networks compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.visualisation import theme
from common.visualisation.drawing import (
    FAINT,
    SMALL,
    Look,
    band,
    heading,
    legends,
    looks,
    plain,
    some,
    start,
    styled,
    whole_numbers,
)

if TYPE_CHECKING:
    from common.training import History


@styled
def curves(
    histories: History | Sequence[History],
    metrics: Sequence[str] = ("accuracy", "loss"),
    *,
    group_by: Callable[[History], str] | None = None,
    spread: str = "range",
    train: bool | None = None,
) -> Figure:
    """Training and test curves of any number of runs on one set of axes.

    Runs that differ only in their seed share a colour: their mean is drawn as a line and their
    spread as a band. The dashed training curve is a running mean over augmented batches while the
    weights still move, so it can lie below the test curve; the hollow marker at the end is the
    training set in evaluation mode, after the last epoch. Runs of one colour are drawn up to the
    end of the shortest.

    Args:
        histories: one or more runs.
        metrics: ``accuracy``, ``loss``, ``learning_rate`` or ``seconds``, one panel each.
        group_by: names the line a run belongs to (default: its norm; its network and norm if
            there are several networks).
        spread: ``range`` (lowest to highest seed) or ``sd`` (mean ± standard deviation).
        train: whether to draw the training curves (default: for up to four lines).

    Raises ``ValueError`` without histories, for a history without epochs, another metric or spread.
    """
    histories = _histories(histories)
    known = ("accuracy", "loss", "learning_rate", "seconds")
    for metric in metrics:
        if metric not in known:
            raise ValueError(f"Unknown metric {metric!r}; choose from {', '.join(known)}.")
    some(metrics, "metrics")
    if spread not in ("range", "sd"):
        raise ValueError(f"Unknown spread {spread!r}; choose range or sd.")
    groups = _group(histories, group_by)
    look = _group_looks(groups)
    train = len(groups) <= 4 if train is None else train
    title = " and ".join(m.replace("_", " ") for m in metrics) + " during training"
    ends = ", ".join(
        f"{look[name].label} {np.mean([h.epochs[-1]['test_accuracy'] for h in runs]):.1f} %"
        for name, runs in groups.items()
    )
    figure = start(
        heading(_titles(histories), title), 4.3, f"Test accuracy after the last epoch: {ends}."
    )
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    epoch = "epoch (passes over the training images)" if len(metrics) < 3 else "epoch"
    for axes, metric in zip(panels, metrics, strict=True):
        for name, runs in groups.items():
            _curve(axes, metric, runs, look[name], spread, train)
        axes.set(xlabel=epoch, ylabel=_METRICS[metric])
        whole_numbers(axes)
        if max(len(run.epochs) for run in histories) == 1:
            first = histories[0].epochs[0]["epoch"]
            axes.set_xticks([first])
            axes.set_xlim(first - 0.5, first + 0.5)
    _curve_legend(figure, groups, look, metrics, spread, train)
    return figure


_METRICS = {
    "accuracy": "accuracy in %",
    "loss": "cross-entropy loss in nats",
    "learning_rate": "learning rate",
    "seconds": "training time in seconds an epoch",
}


def _curve(
    axes: Axes, metric: str, runs: Sequence[History], look: Look, spread: str, train: bool
) -> None:
    """Test, training and final values of one group of runs."""
    single = metric in ("learning_rate", "seconds")
    columns: dict[str, Any] = {metric if single else f"test_{metric}": "-"}
    if train and not single:
        columns = {f"train_{metric}": (0, (4, 2))} | columns  # the test curve lies on top
    for column, dashes in columns.items():
        length = min(len(run.epochs) for run in runs)
        epochs = np.array([e["epoch"] for e in runs[0].epochs[:length]])
        values = np.array([run.column(column)[:length] for run in runs], dtype=float)
        is_train = column.startswith("train_")
        axes.plot(
            epochs,
            values.mean(0),
            color=look.colour,
            linestyle=dashes,
            linewidth=1.4 if is_train else 2.0,
            alpha=0.9 if is_train else 1,
            # Of one epoch there is no line to see.
            marker=look.marker if not is_train else "_" if length == 1 else "",
            markersize=5 if not is_train else 14,
            markevery=max(1, length // 8),
            label=look.label if not is_train else None,
        )
        if len(runs) > 1:
            low, high = band(values, spread)
            axes.fill_between(epochs, low, high, color=look.colour, alpha=0.15, linewidth=0)
    final = [getattr(run, f"train_{metric}", None) for run in runs]
    if train and not single and None not in final:
        axes.plot(
            [epochs[-1]],
            [np.mean(final)],
            linestyle="none",
            marker=look.marker,
            markersize=8,
            markerfacecolor="white" if look.marker != "x" else look.colour,
            markeredgecolor=look.colour,
            markeredgewidth=1.6,
            clip_on=False,
            zorder=4,
        )


def _curve_legend(
    figure: Figure,
    groups: Mapping[str, Sequence[History]],
    look: Mapping[str, Look],
    metrics: Sequence[str],
    spread: str,
    train: bool,
) -> None:
    """Two rows below the panels: who is who, and what kind of line is what."""
    seeds = max(len(runs) for runs in groups.values())
    who = []
    for name, runs in groups.items():
        label = plain(look[name].label)
        label += (
            f", mean of {len(runs)} seeds" if len(runs) > 1 else ", 1 seed" if seeds > 1 else ""
        )
        who.append(_key(label, look[name].colour, marker=look[name].marker, linewidth=2))
    what = []
    if {"accuracy", "loss"} & set(metrics):
        words = "train: running, augmented, while weights move"
        what = [_key("test", linewidth=2)]
        if train:
            what.append(_key(words, linestyle=(0, (4, 2)), linewidth=1.4))
        if train and all(
            run.train_accuracy is not None for runs in groups.values() for run in runs
        ):
            hollow = {"markersize": 8, "markerfacecolor": "white", "markeredgewidth": 1.6}
            hollow["marker"] = next(iter(look.values())).marker if len(groups) == 1 else "o"
            words = "train: in eval mode, at the end"
            what.append(_key(words, linestyle="none", **hollow))
    if seeds > 1:
        words = "lowest to highest seed" if spread == "range" else "mean ± sd over seeds"
        what.append(_key(words, alpha=0.25, linewidth=8))
    legends(figure, who, what)


def _key(label: str, colour: str = "#444444", **style: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], color=colour, label=label, **style)


@styled
def comparison(
    histories: Sequence[History],
    value: str | Callable[[History], float] = "test_accuracy",
    *,
    label: str = "",
    marks: Mapping[str, float] | None = None,
    words: str = "",
) -> Figure:
    """Norms (and networks) side by side: each seed a point, their mean ± standard deviation.

    Points on an axis that need not start at zero, because bars there would overstate differences.

    Args:
        histories: runs; those of one network and norm are summarised.
        value: ``test_accuracy`` (last epoch), ``train_accuracy`` (training set in evaluation
            mode), ``test_loss``, ``train_loss``, ``seconds`` (the whole run), or a function.
        label: name and unit of the value, for the axis, if it is a function.
        marks: vertical lines to compare with, for instance ``{"goal": 70}``.
        words: instead of the title's usual words.

    Raises ``ValueError`` without histories, for a history without epochs, an unknown value, or a
    function without a label.
    """
    histories = _histories(histories)
    what, axis, read = _reader(value, label)
    table: dict[str, dict[str, list[History]]] = {}
    for history in histories:
        table.setdefault(history.network, {}).setdefault(history.norm, []).append(history)
    one_network = len(table) == 1
    look = looks(list(dict.fromkeys(h.norm for h in histories)))
    rows: list[tuple[float, str, str]] = []  # height on the axis, network, norm
    height, ticks, names = 0.0, [], []
    for network, by_norm in table.items():
        first = height
        for norm in sorted(by_norm, key=_norm_order):
            rows.append((height, network, norm))
            if one_network:
                ticks.append(height)
                names.append(f"{look[norm].label}\n{_runs_words(by_norm[norm])}")
            height += 1.0
        if not one_network:
            ticks.append((first + height - 1) / 2)
            runs = [run for group in by_norm.values() for run in group]
            names.append(f"{network}\n{_parameters_words(runs)}")
            height += 0.7
    seeds = max(len(runs) for by_norm in table.values() for runs in by_norm.values())
    where = f" of the {next(iter(table))} network" if one_network and next(iter(table)) else ""
    title = words or what + where
    title += ", mean ± sd over seeds" if seeds > 1 else ""
    each = 0.62 if one_network else 0.34
    figure = start(heading(_titles(histories), title), 0.9 + each * max(height, 2))
    axes = figure.subplots()
    told = []
    for y, network, norm in rows:
        values = np.array([read(run) for run in table[network][norm]])
        told.append(_point(axes, y, values, look[norm]))
        figure.alt += f" {network} {look[norm].label}: {told[-1]}."
    for mark, x in (marks or {}).items():
        axes.axvline(x, color=FAINT, linestyle=(0, (2, 2)), linewidth=1.2, zorder=1)
        axes.annotate(
            plain(f" {mark}"), (x, 1), xycoords=("data", "axes fraction"), va="bottom",
            ha="center", color=FAINT, fontsize=SMALL,
        )  # fmt: skip
    axes.margins(x=0.12)
    axes.set_yticks(ticks, [plain(name) for name in names])
    axes.set_ylim(height - (0.4 if one_network else 1.1), -0.6 if one_network else -0.9)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    beginning = axes.get_xlim()[0]
    axes.set_xlabel(axis + ("" if beginning <= 0 else " (the axis does not start at 0)"))
    legend = []
    if not one_network:
        legend = [
            _key(plain(look[norm].label), look[norm].colour, marker=look[norm].marker, linestyle="")
            for norm in sorted(look, key=_norm_order)
        ]
    if seeds > 1:
        legend.append(_key("one seed", marker="|", markersize=9, linestyle=""))
    if legend:
        legends(figure, legend)
    return figure


@styled
def slopes(
    before: Sequence[History],
    after: Sequence[History],
    names: tuple[str, str],
    *,
    words: str = "",
) -> Figure:
    """The same networks and norms trained in two ways: a panel a network, a line a norm.

    The points are means of the last epoch's test accuracy, with the standard deviation over seeds
    where there are several. Below each way stands how far its norms lie apart, from the best to
    the worst.

    Args:
        before, after: runs in the one way and in the other.
        names: what the two ways are called.
        words: instead of the title's usual words.

    Raises ``ValueError`` without histories, for a history without epochs, or if no network was
    trained in both ways with at least two norms.
    """
    tables = []
    for runs in map(_histories, (before, after)):
        table: dict[str, dict[str, list[float]]] = {}
        for run in runs:
            mine = table.setdefault(run.network, {}).setdefault(run.norm, [])
            mine.append(run.epochs[-1]["test_accuracy"])
        tables.append(table)
    both = {
        network: [norm for norm in sorted(tables[0][network], key=_norm_order) if norm in others]
        for network, others in tables[1].items()
        if network in tables[0]
    }
    both = {network: norms for network, norms in both.items() if len(norms) > 1}
    some(both, "networks trained in both ways with at least two norms")
    title = words or f"test accuracy, {names[0]} and {names[1]}"
    drawn = [run for run in (*before, *after) if run.norm in both.get(run.network, ())]
    figure = start(heading(_titles(drawn), title), 3.6)
    panels = figure.subplots(1, len(both), sharey=True, squeeze=False)[0]
    look = looks(list(dict.fromkeys(norm for norms in both.values() for norm in norms)))
    for axes, (network, norms) in zip(panels, both.items(), strict=True):
        values = [[np.array(table[network][norm]) for norm in norms] for table in tables]
        means = np.array([[seeds.mean() for seeds in way] for way in values])
        for k, norm in enumerate(norms):
            errors = [way[k].std(ddof=1) if len(way[k]) > 1 else 0 for way in values]
            axes.errorbar(
                [0, 1], means[:, k], yerr=errors, color=look[norm].colour, linewidth=2,
                marker=look[norm].marker, markersize=8, markeredgewidth=2, elinewidth=1.4,
            )  # fmt: skip
        apart = np.ptp(means, axis=1)
        ticks = [f"{n}\n{a:.1f} points apart" for n, a in zip(names, apart, strict=True)]
        axes.set_xticks([0, 1], [plain(tick) for tick in ticks])
        axes.set_xlim(-0.5, 1.5)
        axes.set_xlabel(plain(network))
        axes.grid(axis="x", visible=False)
        figure.alt += f" {network}: norms {apart[0]:.2f} and {apart[1]:.2f} points apart."
    panels[0].set_ylabel("test accuracy in %\n(the axis does not start at 0)")
    norms = sorted(look, key=_norm_order)
    legend = [_key(plain(look[n].label), look[n].colour, marker=look[n].marker) for n in norms]
    seeds = max(len(way[n][k]) for n, norms in both.items() for k in norms for way in tables)
    if seeds > 1:
        legend.append(_key("mean ± sd over seeds", marker="|", markersize=9, linestyle=""))
    legends(figure, legend)
    return figure


def _point(axes: Axes, y: float, values: np.ndarray, look: Look) -> str:
    """The seeds, their mean ± standard deviation and both in figures; returns the figures."""
    mean = float(values.mean())
    digits = 2 if abs(mean) < 100 else 0
    if len(values) > 1:
        deviation = float(values.std(ddof=1))
        told = f"{mean:.{digits}f} ± {deviation:.{digits}f}"
        axes.errorbar(
            [mean], [y], xerr=[deviation], color=look.colour, capsize=5, linewidth=2, zorder=2
        )
        spots = y + 0.16 + np.zeros(len(values))
        axes.plot(values, spots, "|", color=look.colour, markersize=9, alpha=0.8, zorder=3)
    else:
        told = f"{mean:.{digits}f}"
    axes.plot(
        [mean], [y], look.marker, color=look.colour, markersize=9, markeredgewidth=2, zorder=4
    )
    axes.annotate(
        told, (mean, y), (0, 7), textcoords="offset points", ha="center",
        color=theme.ink(look.colour), fontsize=10, fontweight="bold",
    )  # fmt: skip
    return told


_VALUES: dict[str, tuple[str, str, Callable[[Any], Any]]] = {  # words, axis, how to read it
    "test_accuracy": (
        "test accuracy",
        "test accuracy after the last epoch in %",
        lambda run: run.epochs[-1]["test_accuracy"],
    ),
    "train_accuracy": (
        "training accuracy",
        "accuracy on the training set (in eval mode, after the last epoch) in %",
        lambda run: run.train_accuracy,
    ),
    "test_loss": (
        "test loss",
        "test loss after the last epoch in nats",
        lambda run: run.epochs[-1]["test_loss"],
    ),
    "train_loss": (
        "training loss",
        "loss on the training set (in eval mode, after the last epoch) in nats",
        lambda run: run.train_loss,
    ),
    "seconds": (
        "training time",
        "training time of all epochs in seconds",
        lambda run: sum(epoch["seconds"] for epoch in run.epochs),
    ),
}


def _reader(
    value: str | Callable[[Any], float], label: str
) -> tuple[str, str, Callable[[Any], float]]:
    """The value in words, the axis's label, and how to read it from a run."""
    if callable(value):
        if not label:
            raise ValueError("Name the value for the axis: label='…, with its unit'.")
        return label, label, value
    if value not in _VALUES:
        raise ValueError(f"Unknown value {value!r}; choose {', '.join(_VALUES)} or a function.")
    words, axis, function = _VALUES[value]

    def read(history: History) -> float:
        result = function(history)
        if result is None:
            raise ValueError(
                f"The run {history.norm}, seed {history.recipe.seed}, holds no {value}: it did not "
                "reach its last epoch. Finish it, or compare test_accuracy."
            )
        return float(result)

    return words, label or axis, read


def _parameters_words(runs: Sequence[History]) -> str:
    counts = sorted({run.parameters for run in runs})
    return " – ".join(f"{c:,}" for c in counts[:: max(1, len(counts) - 1)]) + " parameters"


def _runs_words(runs: Sequence[History]) -> str:
    seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
    return f"{_parameters_words(runs)}, {seeds}"


def _histories(histories: Any) -> list[Any]:
    """A list of runs that all hold at least one epoch."""
    histories = [histories] if hasattr(histories, "epochs") else list(histories)
    if not histories:
        raise ValueError(
            "There are no histories to draw; train a network (fit returns its history) or load a "
            "saved one (History.load)."
        )
    for history in histories:
        if not history.epochs:
            raise ValueError(
                f"The history of {history.norm}, seed {history.recipe.seed}, holds no epoch yet; "
                "train it for at least one, or leave it out."
            )
    return histories


def _titles(histories: Sequence[History]) -> str:
    """The data sets' titles, each once; quick mode is named even where a title does not."""
    titles = []
    for history in histories:
        title = history.dataset
        if history.quick and "quick" not in title:
            title += " – quick mode"
        titles.append(title)
    return " and ".join(dict.fromkeys(titles))


def _norm_order(norm: str) -> tuple[int, str]:
    kinds = list(theme.COLOURS)
    return (kinds.index(norm) if norm in kinds else len(kinds), norm)


def _group(
    histories: Sequence[History], group_by: Callable[[History], str] | None
) -> dict[str, list[History]]:
    """Runs by the line they belong to."""
    networks = {history.network for history in histories}

    def usual(history: History) -> str:
        norm = theme.LABELS.get(history.norm, history.norm)
        return f"{history.network}, {norm}" if len(networks) > 1 else history.norm

    groups: dict[str, list[History]] = {}
    for history in histories:
        groups.setdefault(str((group_by or usual)(history)), []).append(history)
    return groups


def _group_looks(groups: Mapping[str, Sequence[History]]) -> dict[str, Look]:
    """Each group in its norm's colour; groups of one norm in shades of it."""
    by_norm: dict[str, list[str]] = {}
    for name, runs in groups.items():
        norms = {run.norm for run in runs}
        by_norm.setdefault(norms.pop() if len(norms) == 1 else "", []).append(name)
    result = {}
    for norm, names in by_norm.items():
        if norm in theme.COLOURS and len(names) == 1:
            label = theme.LABELS[norm] if names[0] == norm else names[0]
            result[names[0]] = Look(label, theme.COLOURS[norm], theme.MARKERS[norm])
        else:
            result |= looks(names, norm or None)
    return {name: result[name] for name in groups}
