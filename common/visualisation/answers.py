"""What networks answer: how sure they are, where they disagree, and what they looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from common.visualisation import theme
from common.visualisation.drawing import (
    Tile,
    as_array,
    heading,
    legends,
    looks,
    pictures,
    plain,
    sheet,
    signed,
    some,
    start,
    styled,
)
from common.visualisation.pictures import RIGHT, WRONG

if TYPE_CHECKING:
    from common.data import ImageData
    from common.training import Reliability

HEAT = np.array([0xE6, 0x9F, 0x00])  # evidence, on a grey picture; no norm has this colour


@styled
def reliability_diagram(tables: Mapping[str, Reliability], *, dataset: str) -> Figure:
    """How often networks are right where they are so sure: a panel a network, a bar a bin.

    A bar is the accuracy of the images whose confidence falls into its bin, a dash their mean
    confidence; on the diagonal the two agree. Below stands which share of the images that is.

    Args:
        tables: by norm or another name, what ``training.reliability`` gives.
        dataset: the data set's title.

    Raises ``ValueError`` without tables.
    """
    some(tables, "tables")
    look = looks(list(tables))
    title = "how sure the networks are, and how often they are right"
    figure = start(heading(dataset, title), 3.9)
    grid = figure.subplots(
        2, len(tables), sharex=True, sharey="row", squeeze=False, height_ratios=(2.6, 1)
    )
    for (upper, lower), (name, table) in zip(grid.T, tables.items(), strict=True):
        colour = look[name].colour
        edges = np.linspace(0, 100, len(table.count) + 1)
        middle, width = (edges[1:] + edges[:-1]) / 2, 100 / len(table.count)
        filled = table.count > 0
        upper.plot([0, 100], [0, 100], color="black", linestyle=(0, (3, 2)), linewidth=1)
        upper.bar(
            middle[filled], table.accuracy[filled], 0.9 * width, color=theme.mix(colour, 0.55)
        )
        upper.hlines(
            table.confidence[filled], middle[filled] - 0.45 * width, middle[filled] + 0.45 * width,
            color="black", linewidth=2,
        )  # fmt: skip
        share = 100 * table.count / table.count.sum()
        lower.bar(middle, share, 0.9 * width, color=theme.mix(colour, 0.55))
        told = f"calibration error {table.error:.1f} points"
        upper.set_title(plain(f"{look[name].label}\n{told}"), fontsize=11, color=theme.ink(colour))
        lower.set_xlabel("confidence in %")
        lower.set_xlim(0, 100)
        figure.alt += f" {look[name].label}: {told}, {signed(table.excess, 1)} too sure."
    grid[0, 0].set(ylabel="right, in %", ylim=(0, 100))
    grid[1, 0].set_ylabel("images in %")
    legends(
        figure,
        [
            Patch(color="#999999", label="accuracy of the bin"),
            Line2D([], [], color="black", linewidth=2, label="its mean confidence"),
            Line2D([], [], color="black", linestyle=(0, (3, 2)), linewidth=1, label="calibrated"),
        ],
    )
    return figure


@styled
def disagreements(
    data: ImageData,
    indices: Sequence[int],
    logits: Mapping[str, Any],
    evidence: Mapping[str, Any],
    *,
    title: str = "",
) -> Figure:
    """Test images, and for each network what it said of them, how surely, and on what grounds.

    Args:
        data: images and classes.
        indices: the test images to show, by their number: two in a row.
        logits: by norm, of all test images ``(N, classes)``.
        evidence: by norm, what ``training.grad_cam`` gives for the images shown,
            ``(len(indices), h, w)``; each map is drawn from nothing to its own maximum.
        title: instead of the usual one.

    Raises ``ValueError`` without images or networks, or for maps of another number.
    """
    indices = [int(i) for i in indices]
    some(indices, "images")
    some(logits, "networks")
    look = looks(list(logits))
    labels = as_array(data.test.labels)
    shares = {name: _softmax(as_array(values)) for name, values in logits.items()}
    images = pictures(data.test.images[indices])
    tiles, told = [], []
    for place, (index, image) in enumerate(zip(indices, images, strict=True)):
        tiles.append(Tile(image, ((data.classes[labels[index]], "", "black"),), "#000000"))
        words = []
        for name, share in shares.items():
            maps = as_array(evidence[name])
            if len(maps) != len(indices):
                raise ValueError(f"{len(maps)} maps of {name} for {len(indices)} images.")
            said, sure = int(share[index].argmax()), 100 * share[index].max()
            right = said == labels[index]
            line = (data.classes[said], f" {sure:.0f} %", RIGHT if right else WRONG)
            tiles.append(Tile(glowing(image, maps[place]), (line,)))
            words.append(f"{look[name].label} {data.classes[said]}")
        told.append(f"{data.classes[labels[index]]}: {', '.join(words)}.")
    columns = ["true class", *(look[name].label for name in logits)]
    words = title or "where the networks disagree: answer, confidence, evidence (Grad-CAM)"
    pairs = 2 if len(indices) > 1 else 1
    return sheet(
        tiles, pairs * len(columns), heading(data.title, words), " ".join(told),
        column_labels=pairs * columns,
    )  # fmt: skip


def glowing(image: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """A picture, uint8 ``(H, W, 3)``, in grey, with colour where the evidence ``(h, w)`` is.

    The largest evidence has the full colour; a map of nothing leaves the picture grey.
    """
    top = float(evidence.max())
    scaled = Image.fromarray((evidence / top if top > 0 else evidence).astype(np.float32))
    heat = np.asarray(scaled.resize(image.shape[1::-1], Image.Resampling.BILINEAR))[..., None]
    grey = image @ np.array([0.299, 0.587, 0.114])
    grey = np.repeat(grey[..., None], 3, axis=2)
    # Some of the grey shines through, or the outlines below the colour would be lost.
    warm = 0.35 * grey + 0.65 * HEAT
    return np.round((1 - heat) * grey + heat * warm).clip(0, 255).astype(np.uint8)


def _softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.exp(scores.astype(np.float64) - scores.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)
