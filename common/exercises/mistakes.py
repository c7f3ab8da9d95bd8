"""The well-known mistakes, each as a change of the right way and with the hint that names it.

Where a result is wrong, the mistakes are computed on the same input (`search`), and the one, or the
two together, that give the learner's numbers are named.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from common.exercises.inputs import LAYOUTS, Inputs
from common.exercises.ways import CUT_LETTERS, RIGHT_WAY, Axes, Way, cut_channels, listed

Mistake = tuple[dict[str, Any], str]  # a change of the right way, and the hint

# Hints

UNBIASED = (
    "the variance is the unbiased one, divided by |S| − 1. Norms divide by |S|: take the mean of "
    "the squares, or correction=0 (torch.var has 1)."
)
BIASED = (
    "running_var takes the unbiased variance: the batch's variance times |S| / (|S| − 1), "
    "although the batch itself is normalised with the biased one."
)
INVERTED = (
    "momentum is inverted: it is the weight of the new batch, and 1 − momentum that of the old "
    "value (PyTorch's convention)."
)
REPLACED = "the old value counts too: (1 − momentum) · old + momentum · new."
CONSTANT = (
    "{} no gradient, as a constant would (no_grad, detach, .data or .item()). But what depends on "
    "x must pass the gradient on."
)
INTERLEAVED = "the groups are cut the wrong way"
DIGITS = (
    "E[x²] − E[x]² is the difference of two huge numbers, and float32 keeps only about 7 digits of "
    "each: subtract the mean first, then average (x − mean)²."
)
MISPLACED = (
    "the right values in the wrong places: the axes were moved before the norm, and a reshape "
    "alone does not move them back. Undo the transpose or permute too."
)
_SHARED = "one gamma and one beta serve all channels: each channel c has its own."
SHARED_IN_A_GROUP = "channels of a group share one gamma and one beta: each channel c has its own."
_CHUNKS = (
    "the wrong axis is cut into groups: each image's channels are, so chunk(groups, dim=1) or "
    "reshape to (N, G, C/G, H, W)."
)

_MEMORY = (
    "reshape cuts memory, it moves no axis: x lies as (N, C, H, W), so a row here mixes channels. "
    "First move the axes (transpose, permute), then reshape."
)

STATISTICS_MISTAKES: list[Mistake] = [
    ({"correction": 1}, UNBIASED),
    (
        {"variance": "uncentred"},
        "the variance is the mean of x², not of (x − mean)²: subtract the mean first.",
    ),
    ({"variance": "root"}, "that is the standard deviation; the variance is its square."),
    ({"variance": "absolute"}, "the distances from the mean are not squared: mean of (x − mean)²."),
    (
        {"variance": "not squared"},
        "the distances from the mean cancel each other: square each before you average them.",
    ),
    ({"average": "sum"}, "values are summed, not averaged: divide by the size of S."),
    (
        {"average": "sum of squares"},
        "the squares are summed, not averaged: divide by the size of S.",
    ),
]
CENTRE_MISTAKES: list[Mistake] = [
    ({"centre": "no"}, "the mean is not subtracted."),
    ({"centre": "plus"}, "the mean is added: subtract it."),
    ({"centre": "flipped"}, "the sign is wrong: it is x − mean, not mean − x."),
    (
        {"centre": "without brackets"},
        "brackets are missing: x − mean / … divides the mean alone. It is (x − mean) / ….",
    ),
]
END_MISTAKES: list[Mistake] = [
    ({"eps": "outside"}, "eps stands outside the root. It belongs inside: sqrt(variance + eps)."),
    ({"eps": "missing"}, "eps is missing: without it a set of equal values gives 0/0."),
    *(
        ({"eps": eps}, "eps is taken for a lower limit (clamp, max): it is variance + eps.")
        for eps in ("at least", "root at least")
    ),
    *(
        ({"eps": f"fixed at {number}"}, f"eps is fixed at {number}: use the argument eps{by_name}.")
        for number, by_name in (
            # PyTorch's own: by its place eps may land in momentum's.
            ("1e-5", " (PyTorch's functions get it by name, eps=eps)"),
            ("1e-3", ""),
            ("1e-6", ""),
            ("1e-8", ""),
        )
    ),
    ({"eps": "twice"}, "eps is added twice, inside and outside the root: inside is enough."),
    ({"eps": "double"}, "eps is added twice: once is enough."),
    *(
        ({"eps": eps}, "eps is added to the quotient: brackets are missing around the divisor.")
        for eps in ("after", "last")
    ),
    ({"eps": "squared"}, "eps is squared: it is sqrt(variance + eps)."),
    ({"eps": "minus"}, "eps is subtracted: it is sqrt(variance + eps)."),
    (
        {"eps": "root"},
        "the root of a sum is no sum of roots: sqrt(variance + eps), not sqrt(variance) + "
        "sqrt(eps).",
    ),
    ({"divide": "variance"}, "you divide by variance + eps: take its square root."),
    *(
        (
            {"divide": divide},
            "no root is taken, but a half: ** comes before /, so ** 1 / 2 is (… ** 1) / 2. Write "
            "** 0.5 or torch.sqrt.",
        )
        for divide in ("half", "twice")
    ),
    ({"divide": "square"}, "you divide by the square of variance + eps: take its square root."),
    ({"divide": "root twice"}, "the root is taken twice: one makes it the standard deviation."),
    ({"divide": "no"}, "nothing is divided by the standard deviation, sqrt(variance + eps)."),
    ({"divide": "times"}, "you multiply by the standard deviation: divide by it."),
    ({"affine": "missing"}, "gamma and beta are not used: the last step is gamma · x̂ + beta."),
    ({"affine": "no scale"}, "gamma is not used."),
    *(
        ({"affine": how}, f"gamma {words}: it scales, gamma · x̂.")
        for how, words in [
            ("divided", "divides"),
            ("plus", "is added"),
            ("one plus", "has 1 added"),
            ("absolute", "loses its sign (abs or a square root of its square)"),
            ("not negative", "is clamped at 0 (clamp or relu)"),
        ]
    ),
    (
        {"affine": "first"},
        "gamma and beta are applied before the norm, which undoes them: normalise first.",
    ),
]
SHIFT_MISTAKES: list[Mistake] = [
    ({"affine": "no shift"}, "beta is not added."),
    (
        {"affine": "in the fraction"},
        "beta is divided, too: brackets are wrong. It is gamma · (x − mean) / … + beta.",
    ),
    (
        {"affine": "without brackets"},
        "brackets are missing: gamma · x − mean / … divides the mean alone. It is "
        "gamma · (x − mean) / … + beta.",
    ),
    ({"affine": "minus"}, "beta is subtracted: add it."),
    ({"affine": "shift first"}, "beta is added before scaling: it is gamma · x̂ + beta."),
    ({"affine": "gamma twice"}, "gamma stands where beta belongs: it is gamma · x̂ + beta."),
    ({"affine": "beta twice"}, "beta stands where gamma belongs: it is gamma · x̂ + beta."),
    ({"affine": "swapped"}, "gamma and beta are swapped: gamma scales, beta shifts."),
    *(({"affine": how}, _SHARED) for how in ("one number", "average")),
    ({"affine": "average gamma"}, "one gamma serves all channels: each channel c has its own."),
]


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
    "rows": _MEMORY,
    "columns": _MEMORY,
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
    "moved to the front in parts": (
        f"N must not be in a set, each image has its own statistics. And {MISPLACED}"
    ),
    "moved to the front": MISPLACED,
    "moved to the end": MISPLACED,
}


# Of whole norms, and tried alone
LONE_MISTAKES: list[Mistake] = [
    *(
        ({"variance": how}, f"the variance is {words} what it should be: divide by |S|, once.")
        for how, words in [("half", "half"), ("double", "twice")]
    ),
    (
        {"order": "swapped"},
        "mean and variance are swapped: torch.var_mean gives the variance first.",
    ),
    (
        {"affine": "of x alone"},
        "gamma scales x before the mean is subtracted: it is gamma · (x − mean) / … + beta.",
    ),
    (
        {"affine": "beta centred"},
        "beta stands in the brackets with x − mean: it is gamma · (x − mean) / … + beta.",
    ),
    (
        {"order": "first set"},
        "the statistics of the first set serve all sets: each is normalised with its own.",
    ),
]
EPS_ABOVE: Mistake = ({"eps": "above"}, "eps stands above the fraction bar: it is {} + eps.")
OTHER_SPREADS: list[Mistake] = [
    (
        {"centre": centre, "divide": "range"},
        "you divide by the largest minus the smallest value. A norm divides by the standard "
        "deviation, sqrt(variance + eps), and subtracts the mean.",
    )
    for centre in ("least", "minus")
] + [
    (
        {"centre": "no", "variance": "uncentred", "average": "sum of squares", "eps": eps},
        "you divide by the length of the vector (its L2 norm). A norm subtracts the mean and "
        "divides by the standard deviation, sqrt(variance + eps).",
    )
    for eps in ("inside", "root at least", "missing")
]
NORM_TWICE: Mistake = ({"affine": "norm twice"}, "all of it is done twice: once is enough.")
FRESH: Mistake = (
    {"order": "fresh"},
    "the statistics are 0 and 1, those of a fresh layer in eval mode (training=False): take the "
    "batch's own.",
)
OTHER_STATISTICS: list[Mistake] = [
    ({"average": "of |x|"}, "that is the mean of |x|: values below 0 count as such."),
    ({"average": "median"}, "that is the median: the mean is the sum divided by |S|."),
    (
        {"variance": "squared too late"},
        "the distances are squared after they are averaged: square each, then average.",
    ),
]
IN_MEMORY: Mistake = ({"axes": (1,), "cut": "columns", "affine": "along the last axis"}, _MEMORY)


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
        "image": [Way((0,), "images last")],
        "group": [
            Way((2, 3, 4), "interleaved"),
            Way((0, 2, 3, 4), "neighbours"),
            Way((0, 2, 3, 4), "interleaved"),
            Way((2, 3, 4), "of size G"),
            Way((1,), "parts of the batch"),
            Way((1,), "groups last"),
            Way((2, 3, 4), "batch first"),
            Way((2,), "height first"),
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


def _subsets(axes: Axes) -> list[Axes]:
    """All but the empty one and the whole."""
    return [part for r in range(1, len(axes)) for part in itertools.combinations(axes, r)]


def _in_parts(layout: str) -> Iterator[Mistake]:
    whole = "Take the variance over all axes of S at once."
    for parts in _subsets(RIGHT_WAY[layout].axes):
        for correction in (0, 1):
            change = {"parts": parts, "correction": correction}
            yield (
                {"variance": "of parts", **change},
                "that is the mean of the variances of the parts of S: how far their means are "
                f"apart is lost. {whole}",
            )
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
            yield {"divided_by": several[0], "average": "both"}, f"the sums are {hint}"


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
