"""Statistics over other values than those of S: other axes, parts of S, other divisors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch

from common.exercises.inputs import LAYOUTS, Inputs
from common.exercises.mistakes import INTERLEAVED, MEMORY, MISPLACED, Mistake
from common.exercises.ways import CUT_LETTERS, RIGHT_WAY, Axes, Way, cut_channels, listed

_CHUNKS = (
    "the wrong axis is cut into groups: each image's channels are, so chunk(groups, dim=1) or "
    "reshape to (N, G, C/G, H, W)."
)
_OF_CUTS = {
    "interleaved": (
        f"{INTERLEAVED}: a group is C/G neighbouring channels, so reshape to (N, G, C/G, H, W), "
        "not to (N, C/G, G, H, W)."
    ),
    "of size G": "groups is the number of groups, not the channels in one: those are C // groups.",
    "chunk 2": _CHUNKS,
    "chunk 3": _CHUNKS,
    "parts of the batch": (
        "reshape(groups, −1) cuts the batch into parts: each image has its own groups."
    ),
    "groups last": (
        "reshape(n, −1, groups) takes every G-th value in memory. What is in a group comes behind "
        "it: reshape(n, groups, −1)."
    ),
    "rows": MEMORY,
    "columns": MEMORY,
    "images last": (
        "reshape(−1, n) takes every n-th value in memory. What is in an image comes behind it: "
        "reshape(n, −1)."
    ),
    "overlapping": (
        "the groups overlap: group g begins at channel g · C/G, x[:, g * size : (g + 1) * size]."
    ),
    "interleaved and left so": (
        f"{INTERLEAVED}: neighbouring channels make a group, reshape to (N, G, C/G, H, W). And "
        f"{MISPLACED}"
    ),
    "batch first": "reshape(groups, n, …) cuts the batch: the order is (N, G, C/G, H, W).",
    "height first": "H is cut into groups: C is to be cut, reshape to (N, G, C/G, H, W).",
    "channels last": (
        "with the channels moved to the end, H is cut into groups: cut while C is axis 1, reshape "
        "to (N, G, C/G, H, W)."
    ),
    "rows of C": (
        "reshape(−1, C) cuts memory into rows of C values, and these are no images: "
        "reshape(n, −1) gives each image a row."
    ),
    "moved to the front in parts": (
        f"N must not be in a set, each image has its own statistics. And {MISPLACED}"
    ),
    "moved to the front": MISPLACED,
    "moved to the end": MISPLACED,
}


def wrong_sets(layout: str) -> Iterator[Mistake]:
    """The other sets S, each with its hint."""
    right, plan = RIGHT_WAY[layout], LAYOUTS[layout]
    for way in _other_sets(layout):
        hint = _OF_CUTS.get(way.cut) or (
            f"wrong axes: you average over {way.words(plan.letters)}; "
            f"{plan.norm} averages over {right.words(plan.letters)}."
        )
        if way.cut == "neighbours":
            hint = "wrong axes: N must not be among them, each image has its own statistics."
        elif way.cut == "interleaved" and 0 in way.axes:
            hint += " And each image has its own statistics."
        yield {"axes": way.axes, "cut": way.cut}, hint


def _plain_sets(layout: str) -> list[Axes]:
    every = range(len(LAYOUTS[layout].letters))
    return [axes for r in range(1, 5) for axes in itertools.combinations(every, r)]


def _other_sets(layout: str) -> list[Way]:
    right = RIGHT_WAY[layout]
    special = {
        "batch": [Way((1,), "rows"), Way((1,), "moved to the front"), Way((0,), "columns")],
        "channels": [Way((1,), "columns"), Way((1,), "moved to the end"), Way((0,), "rows")],
        "image": [Way((0,), "images last"), Way((1,), "rows of C")],
        "group": [
            Way((2, 3, 4), "interleaved"),
            Way((0, 2, 3, 4), "neighbours"),
            Way((0, 2, 3, 4), "interleaved"),
            Way((2, 3, 4), "of size G"),
            Way((1,), "parts of the batch"),
            Way((1,), "groups last"),
            Way((2, 3, 4), "batch first"),
            Way((2,), "height first"),
            Way((2,), "channels last"),
            Way((2, 3, 4), "overlapping"),
            Way((2, 3, 4), "interleaved and left so"),
            Way((1,), "moved to the front in parts"),
            *(Way((2, 3, 4), f"chunk {axis}") for axis in (2, 3)),
        ],
    }.get(layout, [])
    ways = [*special, *(Way(axes) for axes in _plain_sets(layout))]
    return [way for way in ways if (way.axes, way.cut) != (right.axes, right.cut)]


def rare_mistakes(layout: str) -> list[Mistake]:
    """What is tried alone: other parts of S, other divisors, mean and variance over two sets."""
    return [
        *_in_parts(layout),
        *_divided_by(layout),
        *half_wrong_sets(layout),
        *_cut_sets(layout),
        *_other_centres(layout),
        *of_a_part(layout),
        *_averaged_first(layout),
    ]


def _other_centres(layout: str) -> Iterator[Mistake]:
    right = RIGHT_WAY[layout]
    if right.cut != "no":
        return
    for axes in _plain_sets(layout):
        # The mean of a part of S leaves the variances of the parts.
        if not set(axes) <= set(right.axes):
            over = Way(axes).words(LAYOUTS[layout].letters)
            yield (
                {"centre_axes": axes},
                f"for the variance the mean over {over} is subtracted: take the mean of S itself.",
            )


def of_a_part(layout: str) -> Iterator[Mistake]:
    """Statistics of a part of S, as a loop or a slice that ends too early takes them."""
    right, letters = RIGHT_WAY[layout], _letters(layout)
    things = {"N": "image", "C": "channel", "C/G": "channel of each group"}
    lengths = cut_channels(right.cut, torch.empty(LAYOUTS[layout].shape), Inputs.groups).shape
    for axis in right.axes:
        letter, length = letters[axis], lengths[axis]
        thing = things.get(letter, f"value along {letter}")
        parts = [
            (slice(0, 1), f"the first {thing} alone"),
            (slice(-1, None), f"the last {thing} alone"),
            (slice(0, -1), f"all but the last {thing}"),
            (slice(1, None), f"all but the first {thing}"),
            (slice(0, None, 2), f"every second {thing}"),
        ]
        if length > 3:
            parts += [
                (slice(0, length // 2), f"the first half along {letter}"),
                (slice(length // 2, None), f"the second half along {letter}"),
            ]
        for part, words in parts:
            hint = f"the statistics are those of {words}: S runs over all of {letter}."
            yield {"taken": (axis, part)}, hint


def _averaged_first(layout: str) -> Iterator[Mistake]:
    """The statistics of what is left after an average over axes that are none of S's."""
    right, letters = RIGHT_WAY[layout], _letters(layout)
    if right.cut != "no":
        return
    others = tuple(axis for axis in range(len(letters)) if axis not in right.axes)
    for parts in [*_subsets(others), others]:
        over = listed([letters[axis] for axis in parts])
        yield (
            {"variance": "of means", "parts": parts, "mean_axes": (*right.axes, *parts)},
            f"x is averaged over {over} before, and so are the statistics: S runs over "
            f"{right.words(letters)} alone.",
        )


def _subsets(axes: Axes) -> list[Axes]:
    """All but the empty one and the whole."""
    return [part for r in range(1, len(axes)) for part in itertools.combinations(axes, r)]


def _in_parts(layout: str) -> Iterator[Mistake]:
    whole = "Take the variance over all axes of S at once."
    nested = (
        "you take variances of variances: a mean may be taken axis by axis, a variance may not. "
        f"{whole}"
    )
    if len(RIGHT_WAY[layout].axes) > 1:
        for how, correction in itertools.product(("in turn", "in turn, last first"), (0, 1)):
            yield {"variance": how, "correction": correction}, nested
    for parts in _subsets(RIGHT_WAY[layout].axes):
        for correction in (0, 1):
            change = {"parts": parts, "correction": correction}
            yield (
                {"variance": "of parts", **change},
                "that is the mean of the variances of the parts of S: how far their means are "
                f"apart is lost. {whole}",
            )
            yield {"variance": "of variances", **change}, nested
            yield (
                {"variance": "of means", **change},
                "that is the variance of the means of the parts of S: the spread inside each part "
                f"is lost. {whole}",
            )


def _letters(layout: str) -> Sequence[str]:
    """The axes of the cut tensor."""
    return CUT_LETTERS if RIGHT_WAY[layout].cut != "no" else LAYOUTS[layout].letters


def _divided_by(layout: str) -> Iterator[Mistake]:
    """The sums divided by another product of lengths than |S|."""
    right, letters, shape = RIGHT_WAY[layout], _letters(layout), LAYOUTS[layout].shape
    lengths = cut_channels(right.cut, torch.empty(shape), Inputs.groups).shape
    every = tuple(range(len(letters)))
    products: dict[int, list[Axes]] = {}
    for axes in [*_subsets(every), every]:
        products.setdefault(math.prod(lengths[axis] for axis in axes), []).append(axes)
    size = math.prod(lengths[axis] for axis in right.axes)
    for number, several in products.items():
        # Divided by |S| − 1, it is the unbiased variance; half of it or twice has other reasons.
        if number not in (size, size - 1, 2 * size, size / 2):
            taken = " or ".join(" · ".join(letters[axis] for axis in axes) for axes in several[:2])
            values = " · ".join(letters[axis] for axis in right.axes)
            hint = f"divided by {number} ({taken}): divide by |S| = {size} ({values})."
            yield {"divided_by": several[0]}, f"the sum of the squares is {hint}"
            both = {"divided_by": several[0], "average": "both"}
            yield both, f"the sums are {hint}"
            yield {**both, "variance": "around the wrong mean"}, f"the sums are {hint}"


def _cut_sets(layout: str) -> Iterator[Mistake]:
    """Wrong axes of the tensor that is cut into groups."""
    right = RIGHT_WAY[layout]
    if right.cut == "no":
        return
    for axes in _subsets((0, 1, 2, 3, 4)):
        # With both G and C/G, or neither, they are axes of x as well.
        if axes != right.axes and 0 not in axes and (1 in axes) != (2 in axes):
            yield {"axes": axes}, wrong_axes_of_the_cut(axes)


def wrong_axes_of_the_cut(axes: Axes) -> str:
    """The hint for wrong axes of the tensor that is cut into groups."""
    return (
        "wrong axes of the tensor cut to (N, G, C/G, H, W): you average over "
        f"{listed([CUT_LETTERS[axis] for axis in axes])}; a group is C/G, H and W."
    )


def half_wrong_sets(layout: str) -> Iterator[Mistake]:
    """The mean over the right set and the variance over another one, or the other way round.

    The squared distances may be those from the mean that is returned, or from one of their own.
    """
    right, letters = RIGHT_WAY[layout], _letters(layout)
    every = tuple(range(len(letters)))
    for axes in [*_subsets(every), every]:
        if axes == right.axes:
            continue
        taken = listed([letters[axis] for axis in axes])
        hint = f"is taken over {taken}: check the axes, S runs over {right.words(letters)}."
        yield {"mean_axes": axes}, f"the mean {hint}"
        yield {"variance_axes": axes}, f"the variance {hint}"
        yield {"mean_axes": axes, "centre_axes": axes}, f"the mean {hint}"
        yield {"variance_axes": axes, "centre_axes": right.axes}, f"the variance {hint}"
