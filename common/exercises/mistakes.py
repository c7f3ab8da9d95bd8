"""The well-known mistakes, each as a change of the right way and with the hint that names it.

Where a result is wrong, the mistakes are computed on the same input (`search`), and the one, or the
two together, that give the learner's numbers are named.
"""

from __future__ import annotations

from typing import Any

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
_NO_GRADIENT = "{} no gradient, as a constant would (no_grad, detach, .data or .item())"
CONSTANT = f"{_NO_GRADIENT}. But what depends on x must pass the gradient on."
LEARNT = f"{_NO_GRADIENT}: what is to be learnt is used as it comes."
INTERLEAVED = "the groups are cut the wrong way"
DIGITS = (
    "E[x²] − E[x]² is the difference of two huge numbers, and float32 keeps only about 7 digits of "
    "each: subtract the mean first, then average (x − mean)²."
)
MISPLACED = (
    "the right values in the wrong places: axes were moved before the norm (transpose, permute), "
    "or its parts were put together along another axis (cat, stack), and a reshape alone does not "
    "bring them back. Undo it the way it was done."
)
REPEATED = (
    "statistics reach channels of another group: .repeat() takes the groups in turns. "
    "repeat_interleave(C // groups, 1) keeps each with its own neighbouring channels."
)
_SHARED = "one gamma and one beta serve all channels: each channel c has its own."
SHARED_IN_A_GROUP = "channels of a group share one gamma and one beta: each channel c has its own."
MEMORY = (
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
        {"affine": "scale first"},
        "gamma scales x before the norm, which divides by the spread that gamma has changed: "
        "normalise first, and then scale.",
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
# With the name of what eps belongs to
EPS_ELSEWHERE: list[Mistake] = [
    ({"eps": "above"}, "eps stands above the fraction bar: it is {} + eps."),
    ({"eps": "factor"}, "eps is a factor of the {0}: it is added to it, {0} + eps."),
    ({"eps": "of the inverse"}, "eps is added to 1 / sqrt({0}): it is 1 / sqrt({0} + eps)."),
    (
        {"eps": "of the sum"},
        "eps is added to the sum of the squares and divided with it: it is {} + eps.",
    ),
]
AXIS_BY_AXIS: Mistake = (
    {"order": "axis by axis"},
    "the axes are normalised one after the other: one mean and one variance over all of them at "
    "once, x.mean(axes).",
)
AFFINE_REPEATED: Mistake = (
    {"affine": "repeated"},
    "gamma and beta are repeated in an order that mixes the channels: view(1, -1, 1, 1) is enough, "
    "it broadcasts by itself.",
)
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
    (
        {"variance": "less the mean squared"},
        "the mean is subtracted twice: x − mean has none left, so its squares are averaged, and "
        "that is the variance.",
    ),
]
IN_MEMORY: Mistake = ({"axes": (1,), "cut": "columns", "affine": "along the last axis"}, MEMORY)
