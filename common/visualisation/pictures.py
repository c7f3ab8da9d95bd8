"""Figures made of images: galleries, augmentations, mistakes, and accuracy class by class."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

from common.visualisation import theme
from common.visualisation.drawing import (
    FAINT,
    SMALL,
    Look,
    Tile,
    as_array,
    heading,
    legends,
    looks,
    pictures,
    plain,
    sheet,
    shorten,
    some,
    start,
    styled,
)

if TYPE_CHECKING:
    from common.data import ImageData, ImageSet

RIGHT, WRONG = "#1B7837", "#B2182B"


# --- images ---------------------------------------------------------------------------------------


@styled
def gallery(
    images: Any,
    captions: Sequence[str] = (),
    *,
    title: str,
    dataset: str = "",
    columns: int = 8,
) -> Figure:
    """Any images, in rows, each with a caption of one or more lines.

    Args:
        images: uint8 or float in [0, 1], ``(N, 3, H, W)`` or ``(N, 1, H, W)``.
        captions: one for each image, or none.
        title, dataset: what is shown and the title of the data set it is from.
        columns: images in a row.

    Raises ``ValueError`` if there is no image, or captions are too many or too few.
    """
    array = pictures(images)
    some(array, "images")
    if captions and len(captions) != len(array):
        raise ValueError(f"{len(captions)} captions for {len(array)} images; give one for each.")
    lines = [
        tuple((line, "", "black") for line in c.split("\n")) for c in captions
    ] or itertools.cycle([()])
    tiles = [Tile(image, line) for image, line in zip(array, lines, strict=False)]
    return sheet(tiles, columns, heading(dataset, title), f"{len(array)} images.")


@styled
def samples(data: ImageData, *, subset: str = "train", per_class: int = 5, seed: int = 0) -> Figure:
    """Images picked at random, with their class names and in their true colours.

    Up to six classes have a row each, up to twelve a column each; of more classes than that, 18
    are shown with one image each, and the title says so.

    Args:
        data: images and classes.
        subset: ``train`` or ``test``.
        per_class: images of each class (twice as many in rows).
        seed: of the choice.

    Raises ``ValueError`` for another subset or if it is empty.
    """
    images = _subset(data, subset)
    random = np.random.default_rng(seed)
    labels = as_array(images.labels)
    members = [random.permutation(np.flatnonzero(labels == k)) for k in range(len(data.classes))]
    words = f"{len(images):,} {_SUBSETS[subset]} images of {len(data.classes)} classes"
    if len(data.classes) > 12:
        return _one_of_each(data, images, members, words)
    in_rows = len(data.classes) <= 6
    each = per_class * (2 if in_rows else 1)
    table = []  # a row of tiles for each class
    for mine in members:
        chosen = mine[:each].tolist()
        found = [Tile(image) for image in pictures(images.images[chosen])] if chosen else []
        table.append(found + [Tile(None)] * (each - len(found)))
    title = heading(data.title, f"{words}, a few of each")
    if in_rows:
        tiles = [tile for row in table for tile in row]
        return sheet(tiles, each, title, "Each row is a class.", row_labels=data.classes)
    tiles = [tile for row in zip(*table, strict=True) for tile in row]
    return sheet(tiles, len(table), title, "Each column is a class.", column_labels=data.classes)


def _one_of_each(
    data: ImageData, images: ImageSet, members: Sequence[np.ndarray], words: str, most: int = 18
) -> Figure:
    """One image of up to ``most`` classes, spread evenly over all that have any."""
    filled = [k for k, mine in enumerate(members) if len(mine)]
    places = np.linspace(0, len(filled) - 1, min(len(filled), most)).round().astype(int)
    chosen = [filled[i] for i in places]
    array = pictures(images.images[[int(members[k][0]) for k in chosen]])
    tiles = [
        Tile(image, ((data.classes[k], "", "black"),))
        for image, k in zip(array, chosen, strict=True)
    ]
    title = heading(data.title, f"{words}, one image of {len(chosen)} of them")
    return sheet(tiles, 6, title, "Each has its class name below.")


@styled
def augmentations(
    data: ImageData,
    augmented: Callable[[Any], Any] | Any,
    *,
    indices: Sequence[int] | None = None,
    copies: int = 7,
    subset: str = "train",
) -> Figure:
    """Images as they are (left) beside augmented copies of them, as training sees them.

    Args:
        data: the images.
        augmented: a function that takes the chosen images, uint8 ``(n, 3, H, W)``, and returns as
            many augmented ones (it is called ``copies`` times), or a tensor of augmented images
            ``(n, copies, 3, H, W)``. Images are uint8 or float in [0, 1], not normalised.
        indices: the n images to show, by their number in the subset (default: the first image of
            each of the first five classes that have any).
        copies: augmented copies of each, if ``augmented`` is a function.
        subset: ``train`` or ``test``.

    Raises ``ValueError`` if an index is out of range or the augmented images do not fit.
    """
    images = _subset(data, subset)
    labels = as_array(images.labels)
    if indices is None:
        indices = np.sort(np.unique(labels, return_index=True)[1][:5])
    indices = [int(i) for i in indices]
    some(indices, "indices")
    wrong = [i for i in indices if not 0 <= i < len(images)]
    if wrong:
        raise ValueError(f"No image {wrong[0]}; the {subset} set has 0 to {len(images) - 1}.")
    chosen = images.images[indices]
    if callable(augmented):
        rounds = [pictures(augmented(chosen)) for _ in range(copies)]
        by_image = [list(group) for group in zip(*rounds, strict=True)]
    else:
        by_image = [list(pictures(row)) for row in augmented]
    if len(by_image) != len(indices) or not all(by_image):
        raise ValueError(
            f"The augmented images belong to {len(by_image)} images, but {len(indices)} were "
            "chosen; give a tensor (n, copies, 3, H, W) or a function that keeps the number."
        )
    tiles, names = [], []
    originals = pictures(chosen)
    for index, original, group in zip(indices, originals, by_image, strict=True):
        tiles += [Tile(original, frame="#000000"), *(Tile(copy) for copy in group)]
        names.append(data.classes[labels[index]])
    words = "images as they are (left, framed) and augmented copies of them"
    return sheet(tiles, 1 + len(by_image[0]), heading(data.title, words), row_labels=names)


@styled
def misclassified(
    data: ImageData,
    logits: Any,
    *,
    subset: str = "test",
    count: int = 18,
    columns: int = 6,
    order: str = "confident",
    norm: str | None = None,
    seed: int = 0,
) -> Figure:
    """Images a network got wrong: the true class, and what it said with how much confidence.

    Args:
        data: images and classes.
        logits: logits or log-probabilities ``(N, classes)``, one row for each image of the subset.
        subset: ``train`` or ``test``.
        count, columns: at most so many images, so many in a row.
        order: ``confident`` (the surest mistakes first), ``unsure`` (the least sure first) or
            ``random`` (a fair picture of the mistakes, drawn with ``seed``).
        norm: of the network, for the title.

    Raises ``ValueError`` if the logits do not fit the images and classes, or for another order.
    """
    images = _subset(data, subset)
    probabilities = _probabilities(data, images, logits)
    labels, said = as_array(images.labels), probabilities.argmax(1)
    confidence = probabilities.max(1)
    wrong = np.flatnonzero(said != labels)
    if order == "random":
        wrong = np.random.default_rng(seed).permutation(wrong)
    elif order in ("confident", "unsure"):
        sign = -1 if order == "confident" else 1
        wrong = wrong[np.argsort(sign * confidence[wrong], kind="stable")]
    else:
        raise ValueError(f"Unknown order {order!r}; choose confident, unsure or random.")
    total, shown = len(wrong), wrong[:count]
    words = f"{total:,} of {len(labels):,} {_SUBSETS[subset]} images misclassified"
    words += f" by {theme.LABELS.get(norm, norm)}" if norm else ""
    if not total:
        return _message(heading(data.title, words), "Every image was classified correctly.")
    manner = {"confident": "surest first", "unsure": "least sure first"}
    words += f"; {len(shown)} shown, {manner.get(order, 'picked at random')}"
    tiles = [
        Tile(
            image,
            (
                (f"true: {data.classes[labels[i]]}", "", "black"),
                (f"said: {data.classes[said[i]]}", f" {100 * confidence[i]:.0f} %", WRONG),
            ),
        )
        for image, i in zip(pictures(images.images[shown.tolist()]), shown, strict=True)
    ]
    alt = "Below each image its true class, then the network's answer with its confidence."
    return sheet(tiles, columns, heading(data.title, words), alt)


# --- mistakes -------------------------------------------------------------------------------------


def confusion_counts(labels: Any, predictions: Any, classes: int) -> np.ndarray:
    """How often class i (row) was taken for class j (column), int64 ``(classes, classes)``.

    Args:
        labels, predictions: integers ``(N,)`` from 0 to ``classes`` - 1.

    Raises ``ValueError`` if their lengths differ or one is out of range.
    """
    labels, predictions = as_array(labels), as_array(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            f"{labels.shape} labels and {predictions.shape} predictions; both must be (N,)."
        )
    for name, values in (("Label", labels), ("Prediction", predictions)):
        if len(values) and not (values.min() >= 0 and values.max() < classes):
            raise ValueError(
                f"{name}s run from {values.min()} to {values.max()}, but there are {classes} "
                f"classes (0 to {classes - 1})."
            )
    flat = labels.astype(np.int64) * classes + predictions
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


@styled
def confusion(
    data: ImageData, logits: Any, *, subset: str = "test", norm: str | None = None
) -> Figure:
    """Which classes are taken for which, in % of the true class; cells of nothing are empty.

    Above 15 classes the numbers would be too small to read: the most frequent mistakes are listed
    beside the matrix instead.

    Args:
        data: labels and classes.
        logits: logits or log-probabilities ``(N, classes)``, one row for each image of the subset.
        subset: ``train`` or ``test``.
        norm: of the network, for title and colour.

    Raises ``ValueError`` if the logits do not fit the images and classes.
    """
    images = _subset(data, subset)
    said = _probabilities(data, images, logits).argmax(1)
    counts = confusion_counts(images.labels, said, len(data.classes))
    totals = counts.sum(1, keepdims=True)
    share = 100 * counts / np.maximum(totals, 1)
    accuracy = 100 * np.trace(counts) / max(1, counts.sum())
    who = f" of {theme.LABELS.get(norm, norm)}" if norm else ""
    title = heading(data.title, f"confusion matrix{who}, {len(said):,} {_SUBSETS[subset]} images")
    few = len(data.classes) <= 15
    worst = _worst_pairs(counts, share, data.classes)
    alt = f"{accuracy:.1f} % are on the diagonal. Most frequent mistakes: "
    alt += "; ".join(f"{name} {value:.0f} %" for name, value, _ in worst[:3]) + "."
    figure = start(title, 2.4 + 0.46 * len(data.classes) if few else 5.6, alt)
    if few:
        axes = figure.subplots()
    else:
        axes, beside = figure.subplots(1, 2, width_ratios=(1.1, 1))
        _mistakes(beside, worst, norm)
    colour = theme.COLOURS.get(norm, theme.COLOURS["batch"])
    dark = theme.mix(colour, 0.55, "#000000")
    colours = LinearSegmentedColormap.from_list("course", ["#FFFFFF", colour, dark])
    # A square-root scale: on a linear one all mistakes would look white beside the diagonal.
    scale = PowerNorm(0.5, vmin=0, vmax=100)
    image = axes.imshow(share, cmap=colours, norm=scale)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    number = "" if few else " (its number)"
    axes.set(xlabel=f"predicted class{number}", ylabel=f"true class{number}")
    if few:
        names = [plain(shorten(name, 1.3, 10)) for name in data.classes]
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        _write_shares(axes, share, image)
    if few:  # an inset, so that the layout keeps bar and matrix together
        bar = figure.colorbar(image, cax=axes.inset_axes((1.03, 0.1, 0.035, 0.8)))
    else:
        bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.8)
    bar.set_ticks([0, 1, 5, 10, 25, 50, 100] if few else [0, 5, 25, 50, 100])
    bar.outline.set_visible(False)
    bar.set_label("share of the true class in %")
    return figure


def _write_shares(axes: Axes, share: np.ndarray, image: Any) -> None:
    """The % into each cell that has any, in black or white, whichever is easier to read on it."""
    cells = image.to_rgba(image.get_array())
    size = 10 if len(share) <= 10 else SMALL
    for row, column in np.ndindex(*share.shape):
        if share[row, column]:
            axes.text(
                column, row, f"{share[row, column]:.1f}", ha="center", va="center",
                color=theme.legible(cells[row, column, :3]), fontsize=size,
                fontweight="bold" if row == column else "normal",
            )  # fmt: skip


def _worst_pairs(
    counts: np.ndarray, share: np.ndarray, classes: Sequence[str], most: int = 14
) -> list[tuple[str, float, int]]:
    """The most frequent mistakes: (``true → predicted``, % of the true class, images)."""
    wrong = np.where(np.eye(len(counts), dtype=bool), -1, share).ravel()
    order = [i for i in np.argsort(-wrong, kind="stable")[:most] if counts.ravel()[i] > 0]
    pairs = [(int(i), *divmod(int(i), len(counts))) for i in order]
    return [
        (
            f"{shorten(classes[a], 1.0)} → {shorten(classes[b], 1.0)}",
            float(wrong[i]),
            int(counts[a, b]),
        )
        for i, a, b in pairs
    ]


def _mistakes(axes: Axes, worst: Sequence[tuple[str, float, int]], norm: str | None) -> None:
    """Horizontal bars of the most frequent mistakes."""
    colour = theme.COLOURS.get(norm, theme.COLOURS["batch"])
    places = range(len(worst))
    bars = axes.barh(places, [value for _, value, _ in worst], color=colour, height=0.65)
    axes.bar_label(bars, [f"{n}" for _, _, n in worst], padding=3, fontsize=SMALL, color=FAINT)
    axes.set_yticks(places, [plain(name) for name, _, _ in worst], fontsize=SMALL)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the true class in %\n(number of images at the bar)")
    axes.set_title("most frequent mistakes, true → predicted", fontsize=10)


@styled
def class_accuracy(
    data: ImageData,
    logits: Any | Mapping[str, Any],
    *,
    subset: str = "test",
    norm: str | None = None,
) -> Figure:
    """Accuracy on each class, best on top: bars for one network, points for several norms.

    Args:
        data: labels and classes.
        logits: logits or log-probabilities ``(N, classes)``, or several by norm, for instance
            ``{"batch": …, "group": …}``; then the classes are sorted by the mean.
        subset: ``train`` or ``test``.
        norm: of the network, for title and colour, if there is one.

    Above 40 classes only the 15 best and the 15 worst are shown, and the title says so.
    Raises ``ValueError`` if the logits do not fit the images and classes.
    """
    images = _subset(data, subset)
    many = isinstance(logits, Mapping)
    by_name = dict(logits) if many else {norm or "none": logits}
    some(by_name, "logits")
    labels = as_array(images.labels)
    totals = np.bincount(labels, minlength=len(data.classes))
    present = np.flatnonzero(totals)
    rates = {}
    for name, values in by_name.items():
        right = labels[_probabilities(data, images, values).argmax(1) == labels]
        hits = np.bincount(right, minlength=len(data.classes))
        rates[name] = 100 * hits / np.maximum(totals, 1)
    mean = np.mean(list(rates.values()), axis=0)
    order = present[np.argsort(-mean[present], kind="stable")]
    words = f"accuracy on each class, {len(labels):,} {_SUBSETS[subset]} images"
    if not many and norm:
        words = f"{theme.LABELS.get(norm, norm)}, {words}"
    if len(order) > 40:
        words += f" (best and worst 15 of {len(order)} classes)"
        order = np.concatenate([order[:15], order[-15:]])
    alt = f"Best: {data.classes[order[0]]}. Worst: {data.classes[order[-1]]}."
    figure = start(heading(data.title, words), 0.8 + 0.3 * max(4, len(order)), alt)
    axes = figure.subplots()
    cut = 15 if len(order) == 30 and len(present) > 40 else len(order)
    places = np.arange(len(order)) + (np.arange(len(order)) >= cut)
    look = looks(list(rates))
    if many:
        _class_points(axes, places, {name: rate[order] for name, rate in rates.items()}, look)
        legends(figure, axes.get_legend_handles_labels()[0])
    else:
        rate = rates[next(iter(rates))][order]
        colour = theme.COLOURS.get(norm, theme.COLOURS["batch"])
        axes.barh(places, rate, color=colour, height=0.7)
        for place, value in zip(places, rate, strict=True):
            inside = value > 12
            axes.annotate(
                f"{value:.1f}", (value, place), (-5 if inside else 5, 0), va="center", fontsize=10,
                textcoords="offset points", ha="right" if inside else "left",
                color="white" if inside else "black", fontweight="bold",
            )  # fmt: skip
        overall = 100 * (rates[next(iter(rates))] * totals).sum() / (100 * totals.sum())
        axes.axvline(overall, color="black", linestyle=(0, (3, 2)), linewidth=1.2, zorder=0.5)
        axes.annotate(
            f"all images: {overall:.1f}", (overall, 1), xycoords=("data", "axes fraction"),
            ha="center", va="bottom", fontsize=SMALL,
        )  # fmt: skip
        axes.set_xlim(0, 100)
    note = "; the axis does not start at 0" if axes.get_xlim()[0] > 0 else ""
    same = len(set(totals[order].tolist())) == 1
    names = [shorten(data.classes[k], 2.0, 10) for k in order]
    if same:
        axes.set_xlabel(f"accuracy in % (n = {totals[order[0]]:,} images of each class){note}")
    else:
        names = [f"{n}  (n = {totals[k]:,})" for n, k in zip(names, order, strict=True)]
        axes.set_xlabel(f"accuracy in %{note}")
    axes.set_yticks(places, [plain(name) for name in names])
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    return figure


def _class_points(
    axes: Axes, places: np.ndarray, rates: Mapping[str, np.ndarray], look: Mapping[str, Look]
) -> None:
    """A row for each class: a grey line from the lowest to the highest norm, and their points."""
    stacked = np.stack(list(rates.values()))
    axes.hlines(places, stacked.min(0), stacked.max(0), color="#CCCCCC", linewidth=3, zorder=1)
    for name, rate in rates.items():
        axes.plot(
            rate, places, look[name].marker, color=look[name].colour, markersize=8,
            label=plain(look[name].label), alpha=0.9,
        )  # fmt: skip
    axes.set_xlim(max(0, math.floor((stacked.min() - 3) / 10) * 10), 101)


# --- shared by several figures --------------------------------------------------------------------

_SUBSETS = {"train": "training", "test": "test"}


def _subset(data: ImageData, subset: str) -> ImageSet:
    if subset not in _SUBSETS:
        raise ValueError(f"Unknown subset {subset!r}; choose train or test.")
    images = getattr(data, subset)
    some(images.labels, f"images in the {_SUBSETS[subset]} set of {data.title}")
    return images


def _probabilities(data: ImageData, images: ImageSet, logits: Any) -> np.ndarray:
    """Softmax over the classes, ``(N, classes)``; log-probabilities pass through it unchanged."""
    scores = as_array(logits).astype(np.float64)
    expected = (len(images.labels), len(data.classes))
    if scores.shape != expected:
        raise ValueError(
            f"The logits have the shape {scores.shape}, but {data.title} has {expected[0]:,} "
            f"images and {expected[1]} classes; predict the same images, all and in their order."
        )
    if not np.isfinite(scores).any(axis=1).all() or np.isnan(scores).any():
        raise ValueError("The logits hold NaN; the network has diverged: lower its learning rate.")
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)


def _message(title: str, text: str) -> Figure:
    """A figure that only says something."""
    figure = start(title, 0.8, text)
    axes = figure.subplots()
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=12, color=RIGHT)
    return figure
