"""Ways to normalise, right and wrong, each wrong one with its hint.

Where a result is wrong, the known mistakes are computed on the same input, and the one, or the two
together, that give the learner's numbers are named.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from common.exercises.inputs import Inputs


@dataclass(frozen=True)
class Way:
    """One way to compute statistics and normalise. The defaults, with the right axes, are right."""

    axes: tuple[int, ...]
    cut: str = "no"  # into groups: "no", "neighbours", "interleaved"
    average: str = "mean"  # or "sum", "sum of squares"
    variance: str = "centred"  # or "uncentred", "root"
    correction: int = 0
    eps: str = "inside"  # or "outside", "missing", "fixed"
    centre: bool = True
    root: bool = True
    affine: str = "right"  # or see _apply_affine
    constant: tuple[str, ...] = ()  # which of "mean" and "variance" carry no gradient

    def statistics(self, x: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of x (N, C, H, W), with length 1 along the reduced axes."""
        values = self._cut(x, groups)
        mean = values.mean(self.axes, keepdim=True)
        count = values.numel() / mean.numel()
        deviation = values - (0 if self.variance == "uncentred" else mean)
        variance = deviation.square().sum(self.axes, keepdim=True) / (count - self.correction)
        if self.variance == "root":
            variance = variance.sqrt()
        if self.average in ("sum", "sum of squares"):
            variance = variance * count
        if self.average == "sum":
            mean = mean * count
        if "mean" in self.constant:
            mean = mean.detach()
        if "variance" in self.constant:
            variance = variance.detach()
        return mean, variance

    def normalised(self, i: Inputs) -> torch.Tensor:
        """The normalised, scaled and shifted input, of shape (N, C, H, W)."""
        mean, variance = self.statistics(i.x, i.groups)
        values = self._cut(i.x, i.groups)
        if self.centre:
            values = values - mean
        inside = {"inside": i.eps, "fixed": 1e-5}.get(self.eps, 0.0)
        spread = variance + inside
        if self.root:
            spread = spread.sqrt()
        if self.eps == "outside":
            spread = spread + i.eps
        return _apply_affine(self.affine, self._join(values / spread, i.x.shape), i)

    def _cut(self, x: torch.Tensor, groups: int) -> torch.Tensor:
        n, c, h, w = x.shape
        if self.cut == "neighbours":
            return x.reshape(n, groups, c // groups, h, w)
        if self.cut == "interleaved":
            return x.reshape(n, c // groups, groups, h, w).transpose(1, 2)
        return x

    def _join(self, values: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        if self.cut == "interleaved":
            values = values.transpose(1, 2)
        return values.reshape(shape)

    @property
    def words(self) -> str:
        """The axes of S in words."""
        letters = ("N", "C", "H", "W") if self.cut == "no" else ("N", "G", "C/G", "H", "W")
        names = [letters[axis] for axis in self.axes]
        words = " and ".join([", ".join(names[:-1]), names[-1]]) if names[1:] else names[0]
        cut = {"neighbours": " of neighbouring channels", "interleaved": " of every G-th channel"}
        return words + cut.get(self.cut, "")


def _apply_affine(how: str, y: torch.Tensor, i: Inputs) -> torch.Tensor:
    gamma, beta = i.gamma, i.beta
    if how == "one number":
        gamma, beta = gamma.flatten()[0], beta.flatten()[0]
    elif how == "average":
        gamma, beta = gamma.mean(), beta.mean()
    else:
        if how == "average gamma":
            gamma = gamma.mean() + torch.zeros_like(gamma)
        if how == "per group" and gamma.dim() == 1:
            first = torch.arange(len(gamma)) // (len(gamma) // i.groups) * (len(gamma) // i.groups)
            gamma, beta = gamma[first], beta[first]
        if gamma.dim() == 1:
            gamma, beta = gamma[:, None, None], beta[:, None, None]
    if how == "missing":
        return y
    if how == "no shift":
        return gamma * y
    if how == "no scale":
        return y + beta
    if how == "shift first":
        return gamma * (y + beta)
    if how == "swapped":
        return beta * y + gamma
    return gamma * y + beta


RIGHT_WAY = {
    "batch": Way((0, 2, 3)),
    "group": Way((2, 3, 4), cut="neighbours"),
    "image": Way((1, 2, 3)),
    "channels": Way((1,)),
}


_NAMES = {
    "batch": "batch norm",
    "group": "group norm",
    "image": "layer norm",
    "channels": "layer norm over C",
}


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


STATISTICS_MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"correction": 1}, UNBIASED),
    (
        {"variance": "uncentred"},
        "the variance is the mean of x², not of (x − mean)²: subtract the mean first.",
    ),
    (
        {"variance": "root"},
        "that is the standard deviation; the variance is its square.",
    ),
    ({"average": "sum"}, "values are summed, not averaged: divide by the size of S."),
    (
        {"average": "sum of squares"},
        "the squares are summed, not averaged: divide by the size of S.",
    ),
]


NORMALISED_MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        {"eps": "outside"},
        "eps stands outside the root. It belongs inside: sqrt(variance + eps).",
    ),
    ({"eps": "missing"}, "eps is missing: without it a set of equal values gives 0/0."),
    ({"eps": "fixed"}, "eps is fixed at 1e-5: use the argument eps."),
    ({"centre": False}, "the mean is not subtracted."),
    ({"root": False}, "you divide by variance + eps: take its square root."),
    ({"affine": "missing"}, "gamma and beta are not used: the last step is gamma · x̂ + beta."),
    ({"affine": "no shift"}, "beta is not added."),
    ({"affine": "no scale"}, "gamma is not used."),
    ({"affine": "shift first"}, "beta is added before scaling: it is gamma · x̂ + beta."),
    ({"affine": "swapped"}, "gamma and beta are swapped: gamma scales, beta shifts."),
    *(
        ({"affine": how}, "one gamma and one beta serve all channels: each channel c has its own.")
        for how in ("one number", "average")
    ),
    ({"affine": "average gamma"}, "one gamma serves all channels: each channel c has its own."),
]


def wrong_sets(layout: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The other sets S, each with its hint."""
    right = RIGHT_WAY[layout]
    plain = [Way(axes) for r in range(1, 5) for axes in itertools.combinations((0, 1, 2, 3), r)]
    grouped = []
    if layout == "group":
        grouped = [
            Way((2, 3, 4), cut="interleaved"),
            Way((0, 2, 3, 4), cut="neighbours"),
            Way((0, 2, 3, 4), cut="interleaved"),
            Way((2,), cut="neighbours"),
        ]
    for way in [*grouped, *plain]:
        if way.axes == right.axes and way.cut == right.cut:
            continue
        change = {"axes": way.axes, "cut": way.cut}
        if layout == "group" and way.cut == "interleaved":
            hint = (
                "the groups are cut the wrong way: a group is C/G neighbouring channels, so "
                "reshape to (N, G, C/G, H, W), not to (N, C/G, G, H, W)."
            )
            if 0 in way.axes:
                hint += " And each image has its own statistics."
        elif layout == "group" and way.cut == "neighbours" and 0 in way.axes:
            hint = "wrong axes: N must not be among them, each image has its own statistics."
        else:
            hint = (
                f"wrong axes: you average over {way.words}; "
                f"{_NAMES[layout]} averages over {right.words}."
            )
        yield change, hint


def explain(
    matches: Callable[[Way], bool], right: Way, mistakes: Sequence[tuple[dict[str, Any], str]]
) -> str:
    """The hint of the mistake, or the two mistakes, that give the learner's result; else ""."""
    for change, hint in mistakes:
        if matches(replace(right, **change)):
            return hint
    for (change, hint), (other, another) in itertools.combinations(mistakes, 2):
        if not set(change) & set(other) and matches(replace(right, **change, **other)):
            return f"two things at once: {hint} And {another}"
    return ""
