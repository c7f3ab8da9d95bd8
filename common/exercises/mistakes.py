"""Ways to normalise, right and wrong, each wrong one with its hint.

Where a result is wrong, the known mistakes are computed on the same input, and the one, or the two
together, that give the learner's numbers are named.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from common.exercises.inputs import LAYOUTS, Inputs

CUT_LETTERS = ("N", "G", "C/G", "H", "W")
Axes = tuple[int, ...]
Mistake = tuple[dict[str, Any], str]  # a change of the right way, and the hint that names it


@dataclass(frozen=True)
class Way:
    """One way to compute statistics and normalise. The defaults, with the right axes, are right."""

    axes: Axes
    cut: str = "no"  # or see `_cut`
    mean_axes: Axes = ()  # where they are others than the variance's
    variance_axes: Axes = ()
    parts: Axes = ()  # the axes of the parts of S, see `_variance`
    divided_by: Axes = ()  # the axes whose lengths the sums are divided by, if not those of S
    average: str = "mean"  # or "sum", "sum of squares", "both" for both sums divided so
    variance: str = "centred"  # or see `_variance`
    correction: int = 0
    eps: str = "inside"  # or "outside", "missing", "fixed", "twice", "double", "after", "last"
    centre: str = "minus"  # or "no", "plus", "flipped", "without brackets"
    divide: str = "root"  # or "variance", "no", "times"
    affine: str = "right"  # or see `_scaled`
    constant: tuple[str, ...] = ()  # which of "mean" and "variance" carry no gradient

    def statistics(self, x: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of x, with length 1 along the reduced axes of the cut tensor."""
        if self.cut.startswith("chunk"):
            inside = replace(self, axes=(1, 2, 3), cut="no")
            parts = [inside.statistics(part, groups) for part in self._chunks(x, groups)]
            return tuple(torch.stack(part, 1) for part in zip(*parts, strict=True))
        values = _cut(self.cut, x, groups)
        mean = values.mean(self.mean_axes or self.axes, keepdim=True)
        variance = self._variance(values)
        if self.average == "sum":
            mean = mean * (values.numel() // mean.numel())
        if self.average == "both":
            mean = values.sum(self.axes, keepdim=True) / _lengths(values, self.divided_by)
        if "mean" in self.constant:
            mean = mean.detach()
        if "variance" in self.constant:
            variance = variance.detach()
        return mean, variance

    def _variance(self, values: torch.Tensor) -> torch.Tensor:
        axes = self.variance_axes or self.axes
        if self.parts:
            others = tuple(axis for axis in axes if axis not in self.parts)
            if self.variance == "of parts":
                parts = values.var(self.parts, correction=self.correction, keepdim=True)
                return parts.mean(others, keepdim=True)
            parts = values.mean(self.parts, keepdim=True)
            return parts.var(others, correction=self.correction, keepdim=True)
        mean = values.mean(axes, keepdim=True)
        count = _lengths(values, self.divided_by or axes)
        deviation = values - (0 if self.variance in ("uncentred", "mean of |x|") else mean)
        absolute = self.variance in ("absolute", "mean of |x|")
        squares = deviation.abs() if absolute else deviation.square()
        if self.variance == "square of the mean":
            return mean.square()
        variance = squares.sum(axes, keepdim=True) / (count - self.correction)
        if self.variance == "root":
            variance = variance.sqrt()
        if self.average in ("sum", "sum of squares"):
            variance = variance * count
        return variance

    def normalised(self, i: Inputs) -> torch.Tensor:
        """The normalised, scaled and shifted input, of x's shape."""
        if self.affine == "first":
            gamma, beta = i.per_value(i.gamma), i.per_value(i.beta)
            return replace(self, affine="missing").normalised(replace(i, x=gamma * i.x + beta))
        if self.affine == "in the fraction":
            inverse = replace(self, centre="spread")._standardised(i.x, i)
            scaled = i.per_value(i.gamma) * self._standardised(i.x, i)
            return scaled + i.per_value(i.beta) * inverse
        y = _scaled(self.affine, self._standardised(i.x, i), i)
        return y + i.eps if self.eps == "last" else y

    def _standardised(self, x: torch.Tensor, i: Inputs) -> torch.Tensor:
        if self.cut.startswith("chunk"):
            inside = replace(self, axes=(1, 2, 3), cut="no")
            parts = [inside._standardised(part, i) for part in self._chunks(x, i.groups)]
            return torch.cat(parts, int(self.cut[-1]))
        mean, variance = self.statistics(x, i.groups)
        spread = self._spread(variance, i.eps)
        values = _cut(self.cut, x, i.groups)
        if self.centre == "without brackets":
            result = values - mean / spread
        else:
            centred = {
                "minus": values - mean,
                "no": values,
                "plus": values + mean,
                "flipped": mean - values,
                "spread": torch.ones_like(values),  # leaves its inverse
            }[self.centre]
            result = centred * spread if self.divide == "times" else centred / spread
        if self.eps == "after":
            result = result + i.eps
        return _join(self.cut, result, x.shape)

    def _spread(self, variance: torch.Tensor, eps: float) -> torch.Tensor:
        if self.divide == "no":
            return torch.ones_like(variance)
        inside = {"inside": eps, "twice": eps, "double": 2 * eps, "fixed": 1e-5, "squared": eps**2}
        spread = variance + inside.get(self.eps, 0.0)
        if self.divide != "variance":
            spread = spread.sqrt()
        return spread + eps if self.eps in ("outside", "twice") else spread

    def _chunks(self, x: torch.Tensor, groups: int) -> Sequence[torch.Tensor]:
        return x.chunk(groups, int(self.cut[-1]))

    def words(self, letters: Sequence[str]) -> str:
        """The axes of S in words; letters are those of x."""
        if self.cut in ("neighbours", "interleaved"):
            letters = CUT_LETTERS
        words = _listed([letters[axis] for axis in self.axes])
        cut = {"neighbours": " of neighbouring channels", "interleaved": " of every G-th channel"}
        return words + cut.get(self.cut, "")


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if names[1:] else names[0]


def _lengths(values: torch.Tensor, axes: Axes) -> int:
    return math.prod(values.shape[axis] for axis in axes)


def _cut(cut: str, x: torch.Tensor, groups: int) -> torch.Tensor:
    """x with its channels cut into groups, or with its axes mixed up."""
    if cut == "no":
        return x
    if cut == "rows":  # as if memory began with the channels
        return x.reshape(x.shape[1], -1)
    if cut == "columns":  # as if memory ended with them
        return x.reshape(-1, x.shape[1])
    if cut == "moved to the front":
        return x.transpose(0, 1).reshape(x.shape[1], -1)
    if cut == "moved to the end":
        return x.movedim(1, -1).reshape(-1, x.shape[1])
    if cut == "groups last":
        return x.reshape(len(x), -1, groups)
    if cut == "parts of the batch":
        return x.reshape(groups, -1)
    n, c, h, w = x.shape
    if cut == "interleaved":
        return x.reshape(n, c // groups, groups, h, w).transpose(1, 2)
    if cut == "of size G":
        return x.reshape(n, c // groups, groups, h, w)
    return x.reshape(n, groups, c // groups, h, w)


def _join(cut: str, values: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    if cut == "interleaved":
        values = values.transpose(1, 2)
    return values.reshape(shape)


def _scaled(how: str, y: torch.Tensor, i: Inputs) -> torch.Tensor:
    """Scale by gamma and shift by beta, in one of several ways."""
    gamma, beta = i.per_value(i.gamma), i.per_value(i.beta)
    if how == "one number":
        gamma, beta = gamma.flatten()[0], beta.flatten()[0]
    elif how == "average":
        gamma, beta = gamma.mean(), beta.mean()
    elif how == "average gamma":
        gamma = gamma.mean()
    elif how == "per group" and i.gamma.dim() == 1:
        size = len(i.gamma) // i.groups
        first = torch.arange(len(i.gamma)) // size * size
        gamma, beta = i.per_value(i.gamma[first]), i.per_value(i.beta[first])
    elif how == "swapped":
        gamma, beta = beta, gamma
    return {
        "missing": lambda: y,
        "no shift": lambda: gamma * y,
        "no scale": lambda: y + beta,
        "shift first": lambda: gamma * (y + beta),
        "minus": lambda: gamma * y - beta,
        "divided": lambda: y / gamma + beta,
        "plus": lambda: gamma + y + beta,
        "one plus": lambda: (1 + gamma) * y + beta,
        "absolute": lambda: gamma.abs() * y + beta,
        "not negative": lambda: gamma.clamp(min=0) * y + beta,
    }.get(how, lambda: gamma * y + beta)()


RIGHT_WAY = {
    "batch": Way((0, 2, 3)),
    "group": Way((2, 3, 4), cut="neighbours"),
    "image": Way((1, 2, 3)),
    "channels": Way((1,)),
    "tokens": Way((2,)),
}

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
_CHUNKS = (
    "the wrong axis is cut into groups: each image's channels are, so chunk(groups, dim=1) or "
    "reshape to (N, G, C/G, H, W)."
)

STATISTICS_MISTAKES: list[Mistake] = [
    ({"correction": 1}, UNBIASED),
    (
        {"variance": "uncentred"},
        "the variance is the mean of x², not of (x − mean)²: subtract the mean first.",
    ),
    ({"variance": "root"}, "that is the standard deviation; the variance is its square."),
    ({"variance": "absolute"}, "the distances from the mean are not squared: mean of (x − mean)²."),
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
    ({"eps": "fixed"}, "eps is fixed at 1e-5: use the argument eps."),
    ({"eps": "twice"}, "eps is added twice, inside and outside the root: inside is enough."),
    ({"eps": "double"}, "eps is added twice: once is enough."),
    *(
        ({"eps": eps}, "eps is added to the quotient: brackets are missing around the divisor.")
        for eps in ("after", "last")
    ),
    ({"eps": "squared"}, "eps is squared: it is sqrt(variance + eps)."),
    ({"divide": "variance"}, "you divide by variance + eps: take its square root."),
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
    ({"affine": "minus"}, "beta is subtracted: add it."),
    ({"affine": "shift first"}, "beta is added before scaling: it is gamma · x̂ + beta."),
    ({"affine": "swapped"}, "gamma and beta are swapped: gamma scales, beta shifts."),
    *(({"affine": how}, _SHARED) for how in ("one number", "average")),
    ({"affine": "average gamma"}, "one gamma serves all channels: each channel c has its own."),
]


def wrong_sets(layout: str) -> Iterator[Mistake]:
    """The other sets S, each with its hint."""
    right, plan = RIGHT_WAY[layout], LAYOUTS[layout]
    for way in _other_sets(layout):
        change = {"axes": way.axes, "cut": way.cut}
        if way.cut == "interleaved":
            hint = (
                f"{INTERLEAVED}: a group is C/G neighbouring channels, so reshape to "
                "(N, G, C/G, H, W), not to (N, C/G, G, H, W)."
            )
            if 0 in way.axes:
                hint += " And each image has its own statistics."
        elif way.cut == "neighbours" and 0 in way.axes:
            hint = "wrong axes: N must not be among them, each image has its own statistics."
        elif way.cut == "of size G":
            hint = "groups is the number of groups, not the channels in one: those are C // groups."
        elif way.cut.startswith("chunk"):
            hint = _CHUNKS
        elif way.cut == "parts of the batch":
            hint = "reshape(groups, −1) cuts the batch into parts: each image has its own groups."
        elif way.cut == "groups last":
            hint = (
                "reshape(n, −1, groups) takes every G-th value in memory. What is in a group comes "
                "behind it: reshape(n, groups, −1)."
            )
        elif way.cut in ("rows", "columns"):
            hint = (
                "reshape cuts memory, it moves no axis: x lies as (N, C, H, W), so a row here "
                "mixes channels. First move the axes (transpose, permute), then reshape."
            )
        elif way.cut.startswith("moved"):
            hint = MISPLACED
        else:
            hint = (
                f"wrong axes: you average over {way.words(plan.letters)}; "
                f"{plan.norm} averages over {right.words(plan.letters)}."
            )
        yield change, hint


def _plain_sets(layout: str) -> list[Axes]:
    every = range(len(LAYOUTS[layout].letters))
    return [axes for r in range(1, 5) for axes in itertools.combinations(every, r)]


def _other_sets(layout: str) -> list[Way]:
    right = RIGHT_WAY[layout]
    special = {
        "batch": [Way((1,), "rows"), Way((1,), "moved to the front"), Way((0,), "columns")],
        "channels": [Way((1,), "columns"), Way((1,), "moved to the end"), Way((0,), "rows")],
        "group": [
            Way((2, 3, 4), "interleaved"),
            Way((0, 2, 3, 4), "neighbours"),
            Way((0, 2, 3, 4), "interleaved"),
            Way((2, 3, 4), "of size G"),
            Way((1,), "parts of the batch"),
            Way((1,), "groups last"),
            *(Way((2, 3, 4), f"chunk {axis}") for axis in (2, 3)),
        ],
    }.get(layout, [])
    ways = [*special, *(Way(axes) for axes in _plain_sets(layout))]
    return [way for way in ways if (way.axes, way.cut) != (right.axes, right.cut)]


def rare_mistakes(layout: str) -> list[Mistake]:
    """What is tried alone: other parts of S, other divisors, mean and variance over two sets."""
    return [*_in_parts(layout), *_divided_by(layout), *half_wrong_sets(layout), *_cut_sets(layout)]


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
    lengths = _cut(right.cut, torch.empty(shape), Inputs.groups).shape
    every = tuple(range(len(letters)))
    products: dict[int, list[Axes]] = {}
    for axes in [*_subsets(every), every]:
        products.setdefault(math.prod(lengths[axis] for axis in axes), []).append(axes)
    size = math.prod(lengths[axis] for axis in right.axes)
    for number, several in products.items():
        # Divided by |S| − 1, it is the unbiased variance.
        if number not in (size, size - 1):
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
            yield (
                {"axes": axes},
                f"wrong axes of the tensor cut to (N, G, C/G, H, W): you average over "
                f"{_listed([CUT_LETTERS[axis] for axis in axes])}; a group is C/G, H and W.",
            )


def half_wrong_sets(layout: str) -> Iterator[Mistake]:
    """The mean over the right set and the variance over another one, or the other way round."""
    right, letters = RIGHT_WAY[layout], LAYOUTS[layout].letters
    if right.cut != "no":
        return
    for axes in _plain_sets(layout):
        if axes == right.axes:
            continue
        for what in ("mean", "variance"):
            yield (
                {f"{what}_axes": axes},
                f"the {what} is taken over {Way(axes).words(letters)}: check the axes, S runs over "
                f"{right.words(letters)}.",
            )


def explain(
    matches: Callable[[Any], bool],
    right: Any,
    mistakes: Sequence[Mistake],
    rare: Sequence[Mistake] = (),
) -> str:
    """The hint of the mistake, or the two mistakes, that give the learner's result; else "".

    matches: whether a way gives it. right: the right way. rare: mistakes to try alone only.
    """
    for change, hint in (*mistakes, *rare):
        if matches(replace(right, **change)):
            return hint
    for (change, hint), (other, another) in itertools.combinations(mistakes, 2):
        if not set(change) & set(other) and matches(replace(right, **change, **other)):
            return f"two things at once: {hint} And {another}"
    return ""
