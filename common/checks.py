"""Checks for the lessons' exercises: right, not attempted yet, or wrong and by which mistake.

Each `check_…` takes the learner's function or class, tries it on small inputs and returns a
`Verdict`, which a notebook shows as a line or two of text. A check never raises because of a
learner's mistake, prints nothing, and leaves PyTorch's random state alone.

How a mistake gets its name: where a result is wrong, the check computes what the well-known
mistakes would have given on the same input (an unbiased variance, the wrong axes, eps outside the
root, …) and looks for the one, or the two together, that explain the learner's numbers.
`python -m common mutants` prints which hint each check gives to each of many wrong answers.
"""

from __future__ import annotations

import itertools
import math
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

RIGHT, WRONG, NOT_ATTEMPTED = "right", "wrong", "not attempted yet"


@dataclass(frozen=True)
class Verdict:
    """What a check found: its `repr` is the message for the learner.

    state: "right", "wrong" or "not attempted yet". symptom: what is wrong, in numbers where there
    are any. hint: the likely mistake. reveal: whether the message tells the hint; where finding
    the mistake is the exercise, it does not.
    """

    state: str
    symptom: str = ""
    hint: str = ""
    reveal: bool = True

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.state == RIGHT

    @property
    def attempted(self) -> bool:
        """Whether there is an answer at all."""
        return self.state != NOT_ATTEMPTED

    def __repr__(self) -> str:
        if not self.attempted:
            return "○ Not attempted yet."
        if self.right:
            return f"✓ {self.symptom}"
        hint = f"Hint: {self.hint}"
        if not self.reveal:
            hint = "Which line causes it? The folded hint below helps."
        return "\n".join(
            # Notebooks break long lines in the middle of a word.
            textwrap.fill(text, 92, initial_indent=first, subsequent_indent="  ")
            for first, text in (("✗ ", self.symptom), ("  ", hint))
        )


# The checks, in the order of the lessons


def check_batch_statistics(batch_statistics: Callable) -> Verdict:
    """Check `batch_statistics(x) -> (mean, variance)`, both of shape (C,), for x (N, C, H, W)."""
    return _examine(batch_statistics, _Statistics("batch"))


def check_batch_norm(batch_norm: Callable, *, reveal: bool = True) -> Verdict:
    """Check `batch_norm(x, gamma, beta, eps)` in train mode: x (N, C, H, W), gamma, beta (C,).

    reveal=False shows the symptom only, for "find the bug".
    """
    return _examine(batch_norm, _Normalised("batch"), reveal)


def check_batch_norm_layer(layer: type[nn.Module]) -> Verdict:
    """Check a class `layer(channels, eps, momentum)` with running statistics, train and eval mode.

    It holds `weight`, `bias`, `running_mean` and `running_var`, each of shape (C,).
    """
    return _examine(layer, _BatchNormLayer())


def check_batch_norm_prediction(prediction: Callable) -> Verdict:
    """Check `prediction() -> (running_mean, running_var, y in train mode, y in eval mode)`.

    One channel, a batch of the values 1, 3, 5, 7, fresh running statistics 0 and 1, momentum 0.1,
    gamma 1, beta 0, eps 0; y is what the value 1 becomes.
    """
    mean, biased, unbiased = 4.0, 5.0, 20 / 3
    running_mean, running_var = 0.1 * mean, 0.9 + 0.1 * unbiased
    train, evaluation = (1 - mean) / biased**0.5, (1 - running_mean) / running_var**0.5
    asked = [
        _Number("running_mean", running_mean, {0.9 * mean: _INVERTED, mean: _REPLACED}),
        _Number(
            "running_var",
            running_var,
            {
                0.9 + 0.1 * biased: _BIASED,
                0.1 + 0.9 * unbiased: _INVERTED,
                0.1 + 0.9 * biased: f"{_INVERTED} {_BIASED}",
                0.1 * unbiased: "running_var starts at 1, not at 0.",
                0.1 * biased: f"running_var starts at 1, not at 0. {_BIASED}",
                unbiased: _REPLACED,
                biased: f"{_REPLACED} {_BIASED}",
            },
        ),
        _Number(
            "y in train mode",
            train,
            {
                (1 - mean) / unbiased**0.5: _UNBIASED,
                (1 - mean) / biased: "divide by the square root of the variance.",
                evaluation: "that is eval mode: in train mode the batch's own statistics count.",
            },
        ),
        _Number(
            "y in eval mode",
            evaluation,
            {
                train: "in eval mode the running statistics take the place of the batch's.",
                (1 - running_mean) / running_var: "divide by the square root of running_var.",
                1.0: "the running statistics moved in the training step before: 0 and 1 are gone.",
                (1 - running_mean) / (0.9 + 0.1 * biased) ** 0.5: _BIASED,
            },
        ),
    ]
    return _examine_numbers(prediction, asked)


def check_group_statistics(group_statistics: Callable) -> Verdict:
    """Check `group_statistics(x, groups) -> (mean, variance)`, both (N, G), for x (N, C, H, W)."""
    return _examine(group_statistics, _Statistics("group"))


def check_group_norm(group_norm: Callable, *, reveal: bool = True) -> Verdict:
    """Check `group_norm(x, groups, gamma, beta, eps)`: x (N, C, H, W), gamma and beta (C,).

    reveal=False shows the symptom only, for "find the bug".
    """
    return _examine(group_norm, _Normalised("group"), reveal)


def check_group_norm_prediction(prediction: Callable) -> Verdict:
    """Check `prediction() -> (number of means, values in each set S, parameters)`.

    For `nn.GroupNorm(4, 32)` and an input of shape (8, 32, 16, 16).
    """
    n, c, h, w, groups = 8, 32, 16, 16, 4
    asked = [
        _Number(
            "the number of means",
            n * groups,
            {
                groups: "each image has its own means: group norm never mixes images.",
                c: "that is batch norm: one mean for each channel.",
                n: "that is layer norm: one mean for each image.",
                n * c: "that is instance norm: one mean for each channel of each image.",
            },
        ),
        _Number(
            "the number of values in S",
            c // groups * h * w,
            {
                n * c // groups * h * w: "S holds values of one image only, not of the batch.",
                h * w: "a group holds C/G = 8 channels, and S the pixels of all of them.",
                c * h * w: "that is layer norm's S: a group holds only C/G = 8 channels.",
                n * h * w: "that is batch norm's S.",
                groups * h * w: "4 is the number of groups; how many channels are in one?",
            },
        ),
        _Number(
            "the number of parameters",
            2 * c,
            {
                2 * groups: "gamma and beta are not shared within a group: each channel has both.",
                groups: "gamma and beta are not shared within a group: each channel has both.",
                c: "there is a gamma and a beta.",
                2 * c * h * w: "that is nn.LayerNorm([C, H, W]); here pixels share gamma and beta.",
                2: "gamma and beta are not scalars: each channel has both.",
            },
        ),
    ]
    return _examine_numbers(prediction, asked)


def check_layer_statistics(layer_statistics: Callable, *, reveal: bool = True) -> Verdict:
    """Check `layer_statistics(x) -> (mean, variance)`, both of shape (N,), for x (N, C, H, W).

    reveal=False shows the symptom only, for "find the bug".
    """
    return _examine(layer_statistics, _Statistics("image"), reveal)


def check_layer_norm(layer: type[nn.Module]) -> Verdict:
    """Check a class `layer(shape, eps)` that equals `nn.LayerNorm([C, H, W])`, shape (C, H, W).

    It holds its gamma and beta as the parameters `weight` and `bias`.
    """
    return _examine(layer, _LayerNormLayer())


def check_channel_norm(channel_norm: Callable, *, reveal: bool = True) -> Verdict:
    """Check `channel_norm(x, gamma, beta, eps)`, ConvNeXt's layer norm over C at each pixel.

    x (N, C, H, W), gamma and beta (C,). reveal=False shows the symptom only.
    """
    return _examine(channel_norm, _Normalised("channels"), reveal)


def check_layer_norm_prediction(prediction: Callable) -> Verdict:
    """Check `prediction() -> (parameters over C, H, W; over C; as one group; means over C)`.

    For an input of shape (8, 16, 8, 8): the parameters of the three layers called layer norm, and
    how many means the one over C takes.
    """
    n, c, h, w = 8, 16, 8, 8
    scalars = "gamma and beta are not scalars."
    asked = [
        _Number(
            "the parameters of nn.LayerNorm([16, 8, 8])",
            2 * c * h * w,
            {
                2: f"{scalars} Every position (c, h, w) has both.",
                c * h * w: "there is a gamma and a beta.",
                2 * c: "every position (c, h, w) has its own gamma and beta, not every channel.",
                2 * n * c * h * w: "the images of a batch share gamma and beta.",
                2 * h * w: "channels do not share gamma and beta here.",
            },
        ),
        _Number(
            "the parameters of layer norm over C",
            2 * c,
            {
                2: f"{scalars} Every channel has both.",
                c: "there is a gamma and a beta.",
                2 * c * h * w: "all pixels share gamma_c and beta_c here.",
            },
        ),
        _Number(
            "the parameters of nn.GroupNorm(1, 16)",
            2 * c,
            {
                2: "one group has one mean and one variance, but each channel a gamma and a beta.",
                c: "there is a gamma and a beta.",
                2 * c * h * w: "all pixels share gamma_c and beta_c here.",
            },
        ),
        _Number(
            "the number of means over C",
            n * h * w,
            {
                h * w: "that is one image's; the batch holds 8.",
                n: "that is one mean an image: over C alone, every pixel has its own.",
                c: "that is batch norm: one mean a channel.",
                1: "every pixel of every image has its own mean.",
                n * c: "that is instance norm: one mean for each channel of each image.",
            },
        ),
    ]
    return _examine_numbers(prediction, asked)


# Ways to normalise, right and wrong


@dataclass(frozen=True)
class _Way:
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

    def normalised(self, i: _Inputs) -> torch.Tensor:
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


def _apply_affine(how: str, y: torch.Tensor, i: _Inputs) -> torch.Tensor:
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


_RIGHT_WAY = {
    "batch": _Way((0, 2, 3)),
    "group": _Way((2, 3, 4), cut="neighbours"),
    "image": _Way((1, 2, 3)),
    "channels": _Way((1,)),
}
_NAMES = {
    "batch": "batch norm",
    "group": "group norm",
    "image": "layer norm",
    "channels": "layer norm over C",
}

# The mistakes, as a change of the right way and the hint that names it

_UNBIASED = (
    "the variance is the unbiased one, divided by |S| − 1. Norms divide by |S|: take the mean of "
    "the squares, or correction=0 (torch.var has 1)."
)
_BIASED = (
    "running_var takes the unbiased variance: the batch's variance times |S| / (|S| − 1), "
    "although the batch itself is normalised with the biased one."
)
_INVERTED = (
    "momentum is inverted: it is the weight of the new batch, and 1 − momentum that of the old "
    "value (PyTorch's convention)."
)
_REPLACED = "the old value counts too: (1 − momentum) · old + momentum · new."
_CONSTANT = (
    "{} no gradient, as a constant would (no_grad, detach, .data or .item()). But what depends on "
    "x must pass the gradient on."
)

_STATISTICS_MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"correction": 1}, _UNBIASED),
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
_NORMALISED_MISTAKES: list[tuple[dict[str, Any], str]] = [
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


def _wrong_sets(layout: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The other sets S, each with its hint."""
    right = _RIGHT_WAY[layout]
    plain = [_Way(axes) for r in range(1, 5) for axes in itertools.combinations((0, 1, 2, 3), r)]
    grouped = []
    if layout == "group":
        grouped = [
            _Way((2, 3, 4), cut="interleaved"),
            _Way((0, 2, 3, 4), cut="neighbours"),
            _Way((0, 2, 3, 4), cut="interleaved"),
            _Way((2,), cut="neighbours"),
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


def _explain(
    matches: Callable[[_Way], bool], right: _Way, mistakes: Sequence[tuple[dict[str, Any], str]]
) -> str:
    """The hint of the mistake, or the two mistakes, that give the learner's result; else ""."""
    for change, hint in mistakes:
        if matches(replace(right, **change)):
            return hint
    for (change, hint), (other, another) in itertools.combinations(mistakes, 2):
        if not set(change) & set(other) and matches(replace(right, **change, **other)):
            return f"two things at once: {hint} And {another}"
    return ""


# What the exercises ask for


@dataclass(frozen=True)
class _Inputs:
    """The arguments of one trial."""

    x: torch.Tensor
    gamma: torch.Tensor
    beta: torch.Tensor
    eps: float = 0.1  # large, so that it matters where it stands
    groups: int = 2

    def to(self, *arguments: Any, **keywords: Any) -> _Inputs:
        """The same inputs in another dtype, on another device or in another memory format."""
        return replace(
            self,
            x=self.x.to(*arguments, **keywords),
            gamma=self.gamma.to(*arguments),
            beta=self.beta.to(*arguments),
        )

    def leaves(self) -> _Inputs:
        """Copies that record a gradient."""
        x, gamma, beta = (t.detach().clone().requires_grad_() for t in self.tensors)
        return replace(self, x=x, gamma=gamma, beta=beta)

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.x, self.gamma, self.beta


@dataclass
class _Statistics:
    """f(x) or f(x, groups) -> (mean, variance), each without the reduced axes."""

    layout: str
    names: tuple[str, ...] = ("mean", "variance")
    success = "Right: mean, variance and their gradients are those that PyTorch computes."

    def call(self, function: Callable, i: _Inputs) -> Any:
        return function(i.x, i.groups) if self.layout == "group" else function(i.x)

    def expected(self, i: _Inputs) -> tuple[torch.Tensor, ...]:
        axes = _RIGHT_WAY[self.layout].axes
        variance, mean = torch.var_mean(
            _RIGHT_WAY[self.layout]._cut(i.x, i.groups), axes, correction=0
        )
        return mean, variance

    def by(self, way: _Way, i: _Inputs) -> tuple[torch.Tensor, ...]:
        return tuple(t.squeeze(way.axes) for t in way.statistics(i.x, i.groups))

    def mistakes(self) -> list[tuple[dict[str, Any], str]]:
        return [*_STATISTICS_MISTAKES, *_wrong_sets(self.layout)]

    def special(self, i: _Inputs, got: tuple[torch.Tensor, ...]) -> str:
        """The hint for mistakes that are no `_Way`; else ""."""
        mean, variance = self.expected(i)
        if _alike((got[1], got[0]), (mean, variance)):
            return (
                "mean and variance are swapped: return (mean, variance). torch.var_mean gives the "
                "variance first."
            )
        return ""

    def prepare(self, function: Callable) -> Callable:
        return function

    def differentiable(self, i: _Inputs) -> tuple[tuple[str, torch.Tensor], ...]:
        return (("x", i.x),)

    def extra(self, function: Callable) -> None:
        """Further trials that belong to this exercise alone."""


@dataclass
class _Normalised(_Statistics):
    """f(x, gamma, beta, eps) or f(x, groups, gamma, beta, eps) -> y of x's shape."""

    names: tuple[str, ...] = ("output",)
    success = "Right: outputs and gradients are those of PyTorch's layer."

    def call(self, function: Callable, i: _Inputs) -> Any:
        if self.layout == "group":
            return function(i.x, i.groups, i.gamma, i.beta, i.eps)
        return function(i.x, i.gamma, i.beta, i.eps)

    def expected(self, i: _Inputs) -> tuple[torch.Tensor, ...]:
        if self.layout == "batch":
            y = F.batch_norm(i.x, None, None, i.gamma, i.beta, training=True, eps=i.eps)
        elif self.layout == "group":
            y = F.group_norm(i.x, i.groups, i.gamma, i.beta, i.eps)
        elif self.layout == "image":
            y = F.layer_norm(i.x, i.x.shape[1:], i.gamma, i.beta, i.eps)
        else:
            last = i.x.permute(0, 2, 3, 1)
            y = F.layer_norm(last, last.shape[3:], i.gamma, i.beta, i.eps).permute(0, 3, 1, 2)
        return (y,)

    def by(self, way: _Way, i: _Inputs) -> tuple[torch.Tensor, ...]:
        return (way.normalised(i),)

    def mistakes(self) -> list[tuple[dict[str, Any], str]]:
        listed = [*_STATISTICS_MISTAKES, *_NORMALISED_MISTAKES, *_wrong_sets(self.layout)]
        if self.layout == "group":
            hint = "channels of a group share one gamma and one beta: each channel c has its own."
            listed.append(({"affine": "per group"}, hint))
        return listed

    def special(self, i: _Inputs, got: tuple[torch.Tensor, ...]) -> str:
        return ""

    def differentiable(self, i: _Inputs) -> tuple[tuple[str, torch.Tensor], ...]:
        return (("x", i.x), ("gamma", i.gamma), ("beta", i.beta))


class _LayerNormLayer(_Normalised):
    """A class layer(shape, eps) with the parameters weight and bias of shape (C, H, W)."""

    def __init__(self) -> None:
        super().__init__("image")

    def prepare(self, function: type[nn.Module]) -> Callable:
        shape = (6, 3, 4)
        layer = _construct(function, shape, eps=0.1)
        if any(not isinstance(getattr(layer, name, None), nn.Parameter) for name in _AFFINE):
            # Is it a stub? Only running it tells.
            layer(_inputs("image").x)
            raise _Wrong(
                "The layer has no parameters called weight and bias.",
                "make gamma and beta learnable: self.weight = nn.Parameter(…), and bias likewise.",
            )
        for name in _AFFINE:
            got = tuple(getattr(layer, name).shape)
            if got != shape:
                number = sum(p.numel() for p in layer.parameters())
                raise _Wrong(
                    f"For inputs of shape (N, 6, 3, 4) {name} has the shape {got}, not {shape}, "
                    f"and the layer {number} parameters, not {2 * math.prod(shape)}.",
                    {
                        1: "gamma and beta are no scalars: give every position (c, h, w) its own, "
                        "torch.ones(shape) and torch.zeros(shape).",
                        6: "one value a channel is what group norm has; here every position "
                        "(c, h, w) has its own.",
                        12: "one value a pixel is too few: every position (c, h, w) has its own.",
                    }.get(math.prod(got), "gamma and beta have the shape (C, H, W) each."),
                )
        for name, start in (("weight", 1.0), ("bias", 0.0)):
            if not bool((getattr(layer, name) == start).all()):
                raise _Wrong(
                    f"The parameter {name} does not start as {start:g} everywhere.",
                    "gamma starts at 1 and beta at 0, so that the norm starts as x̂ itself.",
                )

        def run(
            x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, eps: float
        ) -> torch.Tensor:
            layer = _construct(function, tuple(x.shape[1:]), eps=eps).to(x.device, x.dtype)
            return torch.func.functional_call(layer, {"weight": gamma, "bias": beta}, (x,))

        return run


class _BatchNormLayer(_Normalised):
    """A class layer(channels, eps, momentum) with running statistics."""

    success = "Right: outputs, gradients and running statistics are those of nn.BatchNorm2d."

    def __init__(self) -> None:
        super().__init__("batch")

    def prepare(self, function: type[nn.Module]) -> Callable:
        layer = _construct(function, 6, eps=0.1, momentum=0.3)
        missing = [
            name
            for name in (*_AFFINE, *_RUNNING)
            if not isinstance(getattr(layer, name, None), torch.Tensor)
            or getattr(layer, name).shape != (6,)
        ]
        if missing:
            raise _Wrong(
                f"The layer lacks {', '.join(missing)} of shape (C,).",
                "keep the stub's __init__: weight, bias, running_mean and running_var.",
            )

        if any(name not in dict(layer.named_buffers()) for name in _RUNNING):
            raise _Wrong(
                "running_mean and running_var are not in the layer's state_dict.",
                "running statistics are buffers (register_buffer): else they are neither saved nor "
                "moved to another device.",
            )

        def run(
            x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, eps: float
        ) -> torch.Tensor:
            layer = _construct(function, x.shape[1], eps=eps, momentum=0.3)
            layer = layer.to(x.device, x.dtype)
            return torch.func.functional_call(layer, {"weight": gamma, "bias": beta}, (x,))

        run.layer = function
        return run

    def special(self, i: _Inputs, got: tuple[torch.Tensor, ...]) -> str:
        mean, variance = _Way((0, 2, 3), correction=1).statistics(i.x, 1)
        biased = _Way((0, 2, 3)).statistics(i.x, 1)[1]
        fresh = (torch.zeros_like(mean), torch.ones_like(mean))
        moved = [
            (0.3 * mean, 0.7 + 0.3 * variance),
            (0.3 * mean, 0.7 + 0.3 * biased),
            (0.7 * mean, 0.3 + 0.7 * variance),
        ]
        for running_mean, running_var in [fresh, *moved]:
            if _alike(got, (_evaluated(i, running_mean, running_var),)):
                return (
                    "in train mode the input is normalised with the running statistics. They are "
                    "for eval mode: here the batch's own mean and variance count."
                )
        return ""

    def extra(self, function: Callable) -> None:
        _try_running_statistics(function.layer)


_AFFINE = ("weight", "bias")
_RUNNING = ("running_mean", "running_var")


# Running statistics


def _evaluated(i: _Inputs, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """What batch norm gives in eval mode."""
    return F.batch_norm(i.x, mean.flatten(), variance.flatten(), i.gamma, i.beta, eps=i.eps)


def _try_running_statistics(cls: type[nn.Module]) -> None:
    momentum = 0.3
    layer = _construct(cls, 6, eps=0.1, momentum=momentum).double()
    twin = nn.BatchNorm2d(6, eps=0.1, momentum=momentum).double()
    inputs = [_inputs("batch", shape, seed=seed).to(torch.float64) for seed, shape in _STEPS]
    with torch.no_grad():
        layer.weight.copy_(inputs[0].gamma), layer.bias.copy_(inputs[0].beta)
        layer.running_mean.copy_(torch.linspace(-1, 1, 6))
        layer.running_var.copy_(torch.linspace(0.5, 2, 6))
        for name in (*_AFFINE, *_RUNNING):
            getattr(twin, name).copy_(getattr(layer, name))
    for step, i in enumerate(inputs):
        old = {name: getattr(twin, name).clone() for name in _RUNNING}
        layer(i.x.requires_grad_()), twin(i.x)
        i.x.requires_grad_(False)
        _compare_running(layer, twin, old, i.x, momentum, step)
    _try_eval_mode(layer, twin, inputs[0])
    _try_train_mode_without_gradient(layer, twin, inputs[1])


_STEPS = ((1, (5, 6, 3, 4)), (2, (2, 6, 2, 2)), (3, (5, 6, 3, 4)))


def _compare_running(
    layer: nn.Module,
    twin: nn.Module,
    old: dict[str, torch.Tensor],
    x: torch.Tensor,
    momentum: float,
    step: int,
) -> None:
    """Raise _Wrong unless the running statistics moved as PyTorch's did."""
    biased, new_mean = torch.var_mean(x, (0, 2, 3), correction=0)
    unbiased = x.var((0, 2, 3))
    known: dict[str, list[tuple[torch.Tensor, str]]] = {"running_mean": [], "running_var": []}
    for name, new in [("running_mean", new_mean), ("running_var", unbiased)]:
        known[name] = [
            (old[name], f"{name} does not move in train mode: update it in every forward pass."),
            (momentum * old[name] + (1 - momentum) * new, _INVERTED),
            (new, _REPLACED),
            (old[name] + momentum * new, "the old value must be scaled by 1 − momentum."),
            (0.9 * old[name] + 0.1 * new, "momentum is fixed at 0.1: use self.momentum."),
        ]
    start = old["running_var"]
    known["running_var"] += [
        ((1 - momentum) * start + momentum * biased, _BIASED),
        (momentum * start + (1 - momentum) * biased, f"{_INVERTED} And {_BIASED}"),
        (biased, f"{_REPLACED} And {_BIASED}"),
        (0.9 * start + 0.1 * biased, f"momentum is fixed at 0.1: use self.momentum. And {_BIASED}"),
        (
            (1 - momentum) * start + momentum * unbiased.sqrt(),
            "running_var takes the variance, not the standard deviation.",
        ),
        (
            (1 - momentum) * start + momentum * biased.sqrt(),
            "running_var takes the variance, not the standard deviation.",
        ),
        (
            (1 - momentum) * start + momentum * (unbiased + 0.1),
            "eps does not belong into running_var.",
        ),
        (
            (1 - momentum) * start + momentum * (biased + 0.1),
            f"eps does not belong into running_var. And {_BIASED}",
        ),
    ]
    for name in _RUNNING:
        got, right = getattr(layer, name), getattr(twin, name)
        if got.requires_grad:
            raise _Wrong(
                f"{name} carries a gradient after a training step.",
                "update the running statistics under torch.no_grad() or from .detach()ed values: "
                "else every step keeps the graphs of all steps before alive in memory.",
            )
        if got.shape != right.shape:
            raise _Wrong(
                f"After a training step {name} has the shape {tuple(got.shape)}, not (C,).",
                "flatten the batch's statistics before they move the running ones.",
            )
        if not _alike((got,), (right,)):
            hint = next((h for value, h in known[name] if _alike((got,), (value,))), "")
            raise _Wrong(
                f"After training step {step + 1} {name} is wrong: {_difference(got, right)}.",
                hint or f"{name} ← (1 − momentum) · {name} + momentum · the batch's.",
            )


def _try_eval_mode(layer: nn.Module, twin: nn.Module, i: _Inputs) -> None:
    layer.eval(), twin.eval()
    before = {name: getattr(layer, name).clone() for name in _RUNNING}
    right = twin(i.x)
    got = layer(i.x)
    if not _alike((got,), (right,)):
        with torch.no_grad():
            for name in _RUNNING:  # what a layer in the wrong mode has moved
                getattr(layer, name).copy_(before[name])
            without_gradient = layer(i.x)
        if _alike((without_gradient,), (right,)):
            raise _Wrong(
                "In eval mode the output is right under no_grad only.",
                "train or eval is guessed from the gradient mode: ask self.training, which "
                ".train() and .eval() set.",
            )
        batch = F.batch_norm(i.x, None, None, layer.weight, layer.bias, training=True, eps=0.1)
        variance = before["running_var"]
        shaped = [t.detach()[:, None, None] for t in (before["running_mean"], variance)]
        centred = (i.x - shaped[0]) * layer.weight[:, None, None]
        outside = centred / (shaped[1].sqrt() + 0.1) + layer.bias[:, None, None]
        without = centred / shaped[1].sqrt() + layer.bias[:, None, None]
        hints = [
            (
                batch,
                "in eval mode the batch's own statistics are used: once self.training is False, "
                "running_mean and running_var take their place.",
            ),
            (outside, "eps stands outside the root in eval mode: sqrt(running_var + eps)."),
            (without, "eps is missing in eval mode: sqrt(running_var + eps)."),
        ]
        hint = next((h for value, h in hints if _alike((got,), (value,))), "")
        raise _Wrong(
            f"In eval mode the output is wrong: {_difference(got, right)}.",
            hint or "in eval mode: gamma · (x − running_mean) / sqrt(running_var + eps) + beta.",
        )
    for name in _RUNNING:
        if not torch.equal(getattr(layer, name), before[name]):
            raise _Wrong(
                f"In eval mode {name} moves.",
                "the running statistics are updated in eval mode: only training may move them, "
                "else the test images leak into the model.",
            )
    with torch.no_grad():
        if not _alike((layer(i.x),), (right,)):
            raise _Wrong(
                "In eval mode the output changes under no_grad.",
                "train or eval is guessed from the gradient mode: ask self.training.",
            )
    single = i.x[:1, :, :1, :1]
    if not _alike((layer(single),), (twin(single),)):
        raise _Wrong(
            "In eval mode a batch of one value a channel is normalised wrongly.",
            "in eval mode nothing may be computed from the batch.",
        )


def _try_train_mode_without_gradient(layer: nn.Module, twin: nn.Module, i: _Inputs) -> None:
    layer.train(), twin.train()
    with torch.no_grad():
        got, right = layer(i.x), twin(i.x)
        if not _alike((got,), (right,)) or not all(
            _alike((getattr(layer, n),), (getattr(twin, n),)) for n in _RUNNING
        ):
            raise _Wrong(
                "In train mode, but under no_grad, output or running statistics are wrong.",
                "train or eval is guessed from the gradient mode: ask self.training.",
            )


# The trials that every function goes through


class _Wrong(Exception):
    """The learner's answer is wrong: what shows it, and the likely mistake."""

    def __init__(self, symptom: str, hint: str) -> None:
        super().__init__(symptom)
        self.symptom, self.hint = symptom, hint


class _NotAttempted(Exception):
    """The stub is still there."""


def _examine(function: Callable, task: _Statistics, reveal: bool = True) -> Verdict:
    """Put the learner's function through all trials; the first that fails decides."""

    def trials() -> None:
        run = task.prepare(function)
        for trial in (
            _try_ordinary_input,
            _try_large_mean,
            _try_float64,
            _try_device,
            _try_gradient,
            _try_memory_layouts,
            _try_sizes,
        ):
            trial(run, task)
        task.extra(run)

    return _verdict(function, trials, task.success, reveal)


def _verdict(function: Callable, trials: Callable, success: str, reveal: bool = True) -> Verdict:
    """Run `trials` and turn what they raise into a verdict."""
    if not callable(function):
        return Verdict(
            WRONG,
            f"The check got {type(function).__name__}, not a function.",
            "hand over the function itself, without calling it: check_…(your_function).",
            reveal,
        )
    try:
        # The caller's gradient mode must not decide what the check finds.
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            trials()
    except _Wrong as wrong:
        return Verdict(WRONG, wrong.symptom, wrong.hint, reveal)
    except Exception as error:
        # PyTorch raises NotImplementedError too, but never without a message; stubs have none.
        if type(error) is NotImplementedError and not error.args:
            return Verdict(NOT_ATTEMPTED)
        return Verdict(WRONG, f"Your code stopped with {_told(error)}", _hint_for(error), reveal)
    return Verdict(RIGHT, success, reveal=reveal)


def _construct(cls: type[nn.Module], *arguments: Any, **keywords: Any) -> nn.Module:
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        raise _Wrong(
            f"The check got {getattr(cls, '__name__', type(cls).__name__)}, not a layer's class.",
            "hand over the class itself, a subclass of nn.Module, without calling it.",
        )
    return cls(*arguments, **keywords)


def _inputs(layout: str, shape: tuple[int, ...] = (5, 6, 3, 4), seed: int = 0) -> _Inputs:
    """Values whose mean and spread differ from channel to channel and image to image."""
    generator = torch.Generator().manual_seed(seed)
    n, c, h, w = shape
    x = torch.randn(shape, generator=generator)
    x = (
        x
        * torch.linspace(0.5, 2, c)[:, None, None]
        * torch.linspace(1, 1.5, n)[:, None, None, None]
    )
    x = x + torch.linspace(-2, 3, c)[:, None, None] + torch.linspace(0, 1, n)[:, None, None, None]
    x = x + torch.linspace(-1, 1, h)[:, None] + torch.linspace(0, 1, w)
    affine = (c, h, w) if layout == "image" else (c,)
    gamma = 0.5 + 1.5 * torch.rand(affine, generator=generator)
    beta = torch.randn(affine, generator=generator)
    return _Inputs(x, gamma, beta)


def _try_ordinary_input(function: Callable, task: _Statistics) -> None:
    i = _inputs(task.layout)
    before = [t.clone() for t in i.tensors]
    got = _results(task.call(function, i), task.names)
    original = replace(i, x=before[0], gamma=before[1], beta=before[2])
    _compare(function, task, original, got)
    for name, value, old in zip(("x", "gamma", "beta"), i.tensors, before, strict=True):
        if not torch.equal(value, old):
            raise _Wrong(
                f"The result is right, but your code changed its input {name}.",
                f"{name} is changed in place (-=, /=, .sub_(), out= or an assignment into "
                f"{name}[…]): make a new tensor, as in y = {name} − mean.",
            )


def _try_large_mean(function: Callable, task: _Statistics) -> None:
    i = _inputs(task.layout)
    i = replace(i, x=(i.x - i.x.mean()) / i.x.std() + 10_000, eps=1e-5)
    right = task.expected(i.to(torch.float64))
    got = _results(task.call(function, i), task.names)
    if not _alike(got, right, rtol=3e-2, atol=3e-2):
        name, mine, yours = _worst(task.names, got, right)
        raise _Wrong(
            f"For values around 10,000 with a spread of 1 the {name} is wrong, although it is "
            f"right for values around 0: {_difference(yours, mine)}.",
            "E[x²] − E[x]² is the difference of two huge numbers, and float32 keeps only about 7 "
            "digits of each: subtract the mean first, then average (x − mean)².",
        )


def _try_float64(function: Callable, task: _Statistics) -> None:
    i = _inputs(task.layout).to(torch.float64)
    got = _results(task.call(function, i), task.names)
    right = task.expected(i)
    for name, yours, mine in zip(task.names, got, right, strict=True):
        if yours.dtype != torch.float64:
            raise _Wrong(
                f"For a float64 input the {name} comes back as {_dtype(yours)}.",
                "wrong dtype: a new tensor takes its dtype from x (x.new_zeros(…), "
                "torch.zeros_like(x), dtype=x.dtype), and nothing is converted by .float().",
            )
        if not _alike((yours,), (mine,), rtol=1e-10, atol=1e-10):
            raise _Wrong(
                f"For a float64 input the {name} is only as precise as float32.",
                "wrong dtype: somewhere on the way the values are converted to float32 (.float(), "
                "torch.zeros(…) without dtype=x.dtype).",
            )


class _OneDevice(TorchFunctionMode):
    """Refuses to mix devices, as a GPU does; the "meta" device by itself is lenient."""

    # These may cross devices on every machine; with the last two, nn.Module.to moves a layer.
    _COPIES = ("to", "copy_", "__setitem__", "__set__", "_has_compatible_shallow_copy_type")

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") not in self._COPIES:
            flat = [
                item
                for value in (*args, *kwargs.values())
                for item in (value if isinstance(value, (tuple, list)) else (value,))
            ]
            # Numbers (no axes) and indices may live on the CPU.
            devices = {
                item.device.type
                for item in flat
                if isinstance(item, torch.Tensor) and item.dim() and item.is_floating_point()
            }
            if len(devices) > 1:
                raise RuntimeError("expected all tensors on the same device")
        return func(*args, **kwargs)


def _try_device(function: Callable, task: _Statistics) -> None:
    """Run on the "meta" device, which every machine has and which computes shapes only."""
    hint = (
        "wrong device: a new tensor must be made where x lives (x.new_zeros(…), "
        "torch.zeros_like(x), device=x.device), and nothing is moved by .cpu()."
    )
    try:
        i = _inputs(task.layout).to("meta")
        with _OneDevice():
            got = _results(task.call(function, i), task.names)
    except Exception as error:
        # Other complaints come from what "meta" cannot do, such as .item() in a loop.
        if "same device" in str(error) or "Cannot copy out of meta" in str(error):
            raise _Wrong("Your code fails where x is not on the CPU.", hint) from None
        return
    for name, value in zip(task.names, got, strict=True):
        if value.device.type != "meta":
            raise _Wrong(f"The {name} is on the CPU although x is on another device.", hint)


def _try_gradient(function: Callable, task: _Statistics) -> None:
    i = _inputs(task.layout).to(torch.float64)
    generator = torch.Generator().manual_seed(1)
    # Not centred on 0: the gradient through the mean sums over the direction.
    directions = [
        torch.randn(t.shape, generator=generator, dtype=t.dtype) + 1 for t in task.expected(i)
    ]

    def gradients(compute: Callable[[_Inputs], Any]) -> tuple[torch.Tensor | None, ...]:
        leaves = i.leaves()
        results = [
            (result, direction)
            for result, direction in zip(
                _results(compute(leaves), task.names), directions, strict=True
            )
            if result.requires_grad
        ]
        wanted = [tensor for _, tensor in task.differentiable(leaves)]
        if not results:
            return (None,) * len(wanted)
        return torch.autograd.grad(
            [r for r, _ in results], wanted, [d for _, d in results], allow_unused=True
        )

    got = gradients(lambda leaves: task.call(function, leaves))
    right = gradients(task.expected)
    names = [name for name, _ in task.differentiable(i)]
    if any(g is None for g in got):
        lost = [name for name, g in zip(names, got, strict=True) if g is None]
        both = " and ".join(lost)
        raise _Wrong(
            f"The values are right, but no gradient reaches {both}.",
            _CONSTANT.format("the result passes on" if len(lost) == len(names) else f"{both} gets"),
        )
    for name, yours, mine in zip(names, got, right, strict=True):
        if not _alike((yours,), (mine,), rtol=1e-6, atol=1e-8):
            hint = ""
            for constant in (("mean", "variance"), ("variance",), ("mean",)):
                way = replace(_RIGHT_WAY[task.layout], constant=constant)
                if _alike(got, gradients(lambda leaves, way=way: task.by(way, leaves)), rtol=1e-6):
                    words = " and ".join(f"the {word}" for word in constant)
                    hint = _CONSTANT.format(f"{words} {'pass' if constant[1:] else 'passes'} on")
                    break
            off = float((yours - mine).norm() / mine.norm())
            raise _Wrong(
                f"The values are right, but the gradient to {name} is off by {off:.0%}.",
                hint or _CONSTANT.format("a part of the result passes on"),
            )


def _try_memory_layouts(function: Callable, task: _Statistics) -> None:
    i = _inputs(task.layout)
    layouts = {
        "channels_last": i.x.contiguous(memory_format=torch.channels_last),
        "transposed": i.x.transpose(2, 3).contiguous().transpose(2, 3),
    }
    for name, x in layouts.items():
        got = _results(task.call(function, replace(i, x=x)), task.names)
        if not _alike(got, task.expected(i)):
            raise _Wrong(
                f"For the same values in another order in memory ({name}) the result is wrong.",
                "do not rely on how x lies in memory (.stride(), as_strided): use .reshape().",
            )


def _try_sizes(function: Callable, task: _Statistics) -> None:
    trials = [((1, 4, 1, 3), 2), ((2, 6, 1, 1), 3), ((3, 8, 2, 5), 4), ((4, 4, 4, 4), 1)]
    of_sizes = (
        "is a size written as a number, or taken from the wrong axis? Or does .squeeze() remove an "
        "axis that happens to have length 1?"
    )
    if task.layout == "batch":
        trials += [((2, 1, 1, 1), 1), ((3, 1, 2, 2), 1)]
    if task.layout == "group":
        trials += [((4, 4, 4, 4), 4)]
    for shape, groups in trials:
        i = replace(_inputs(task.layout, shape).to(torch.float64), groups=groups)
        with_groups = f" and {groups} groups" if task.layout == "group" else ""
        where = f"for x of shape {shape}{with_groups}"
        try:
            got = _results(task.call(function, i), task.names)
        except Exception as error:
            raise _Wrong(
                f"Your code fails {where} with {_told(error)}.", _hint_for(error, of_sizes)
            ) from None
        if not _alike(got, task.expected(i)):
            raise _Wrong(
                f"The result is right for most shapes, but not {where}.",
                of_sizes,
            )


# Comparing


def _results(value: Any, names: tuple[str, ...]) -> tuple[torch.Tensor, ...]:
    """The learner's result as a tuple of as many tensors as there are names."""
    if value is None:
        raise _Wrong("Your function returns nothing.", "is the return line missing?")
    if isinstance(value, torch.Tensor) and len(names) == 1:
        return (value,)
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) != len(names):
        got = f"{len(values)} things" if len(values) > 1 else f"one {type(value).__name__}"
        raise _Wrong(
            f"Your function returns {got}, not {' and '.join(names)}.",
            f"return {', '.join(names)}",
        )
    for name, item in zip(names, values, strict=True):
        if not isinstance(item, torch.Tensor):
            raise _Wrong(
                f"The {name} is of type {type(item).__name__}, not a tensor.",
                "stay with PyTorch's tensors: no numpy, no .item(), no .tolist().",
            )
    return values


def _compare(
    function: Callable, task: _Statistics, i: _Inputs, got: tuple[torch.Tensor, ...]
) -> None:
    """Raise _Wrong, with the mistake's name if it is known, unless `got` is right."""
    right = task.expected(i)
    if _alike(got, right):
        return
    hint = task.special(i, got)
    seen = [(i, got), *_second_look(function, task, i)]
    wrong = [not _alike((a,), (b,)) for a, b in zip(got, right, strict=True)].index(True)
    # One mistake in all results explains more than one in the first that is wrong.
    for results in (slice(None), slice(wrong, wrong + 1)):
        hint = hint or _explain(
            lambda way, results=results: all(
                _alike(result[results], task.by(way, inputs)[results]) for inputs, result in seen
            ),
            _RIGHT_WAY[task.layout],
            task.mistakes(),
        )
    for name, yours, mine in zip(task.names, got, right, strict=True):
        if yours.shape != mine.shape:
            if not hint and yours.numel() == mine.numel():
                hint = (
                    f"squeeze or flatten the result; {tuple(mine.shape)} has no axes of length 1 "
                    "for the axes averaged away."
                )
            raise _Wrong(
                f"For x of shape {tuple(i.x.shape)} the {name} has the shape "
                f"{tuple(yours.shape)}, not {tuple(mine.shape)}.",
                hint or f"check the axes: S runs over {_RIGHT_WAY[task.layout].words}.",
            )
    name, mine, yours = _worst(task.names, got, right)
    raise _Wrong(
        f"The {name} is wrong: {_difference(yours, mine)}.",
        hint or "go through the formula step by step: mean over S, variance over S, y.",
    )


def _second_look(
    function: Callable, task: _Statistics, i: _Inputs
) -> list[tuple[_Inputs, tuple[torch.Tensor, ...]]]:
    """What the function makes of a small spread, which tells a missing eps from a fixed one."""
    small = replace(i, x=i.x / 100, eps=1e-4)
    try:
        copies = replace(small, x=small.x.clone(), gamma=i.gamma.clone(), beta=i.beta.clone())
        return [(small, _results(task.call(function, copies), task.names))]
    except Exception:
        # It worked once; the first look must do.
        return []


def _alike(
    got: Sequence[torch.Tensor | None],
    right: Sequence[torch.Tensor | None],
    rtol: float = 1e-3,
    atol: float = 1e-4,
) -> bool:
    """Whether two results have the same shapes and, within a tolerance, the same values."""
    for one, other in zip(got, right, strict=True):
        if one is None or other is None:
            return False
        if one.shape != other.shape:
            return False
        if not torch.allclose(one.detach().double(), other.detach().double(), rtol, atol):
            return False
    return True


def _worst(
    names: tuple[str, ...], got: tuple[torch.Tensor, ...], right: tuple[torch.Tensor, ...]
) -> tuple[str, torch.Tensor, torch.Tensor]:
    """(name, right result, learner's result) of the first result that is wrong."""
    for name, yours, mine in zip(names, got, right, strict=True):
        if not _alike((yours,), (mine,)):
            return name, mine, yours
    return names[0], right[0], got[0]


def _difference(yours: torch.Tensor, mine: torch.Tensor) -> str:
    """Where two results differ most."""
    if yours.shape != mine.shape:
        return f"its shape is {tuple(yours.shape)}, not {tuple(mine.shape)}"
    yours, mine = yours.detach().double(), mine.detach().double()
    # NaN counts as the largest difference of all.
    at = int((yours - mine).abs().nan_to_num(math.inf, math.inf).argmax())
    position = tuple(int(k) for k in torch.unravel_index(torch.tensor(at), mine.shape))
    return f"at {list(position)} it is {yours.flatten()[at]:.4g}, not {mine.flatten()[at]:.4g}"


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _told(error: Exception) -> str:
    """An error of the learner's code in one line."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"


_ASK_YOURSELF = "call your function on torch.randn(5, 6, 3, 4) in a new cell to see where it stops."


def _hint_for(error: Exception, otherwise: str = _ASK_YOURSELF) -> str:
    """What usually causes an error like this one."""
    text = str(error)
    for words, hint in _ERRORS:
        if any(word in text for word in words):
            return hint
    if isinstance(error, TypeError):
        return "keep the stub's arguments, their names and their order."
    return otherwise


_ERRORS = [
    (
        ("view size is not compatible",),
        "x does not lie in memory in the usual order (channels_last, say): use .reshape(), which "
        "copies where .view() gives up.",
    ),
    (
        ("must match the size of tensor", "not broadcastable", "must match the existing size"),
        "two shapes do not fit each other. Keep the reduced axes with keepdim=True, and give a "
        "value per channel the shape (1, C, 1, 1): gamma.view(1, -1, 1, 1).",
    ),
    (
        ("in-place operation", "inplace operation"),
        "a tensor is changed in place (-=, /=, .sub_(), …) although the gradient still needs it: "
        "make a new one.",
    ),
    (
        ("same device",),
        "wrong device: make new tensors where x lives, with device=x.device.",
    ),
    (
        ("same dtype", "expected scalar type", "dtypes to match"),
        "wrong dtype: make new tensors with dtype=x.dtype.",
    ),
    (
        ("numpy",),
        "stay with PyTorch's tensors: numpy cannot carry a gradient.",
    ),
    (
        ("positional argument", "keyword argument"),
        "keep the stub's arguments, their names and their order.",
    ),
]


# Predictions


@dataclass(frozen=True)
class _Number:
    """One number to predict, and what the famous wrong answers give away."""

    what: str
    right: float
    wrong: dict[float, str] = field(default_factory=dict)


def _examine_numbers(prediction: Callable, asked: Sequence[_Number]) -> Verdict:
    """Compare predicted numbers with the right ones, to about 1 %."""

    def trials() -> None:
        given = prediction()
        if given is None:
            raise _Wrong("Your function returns nothing.", "is the return line missing?")
        if isinstance(given, torch.Tensor):
            given = given.tolist()
        given = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        if len(given) != len(asked):
            raise _Wrong(
                f"{len(asked)} numbers are asked for, and your function returns {len(given)}.",
                f"return {', '.join(number.what for number in asked)}.",
            )
        for place, (value, number) in enumerate(zip(given, asked, strict=True), start=1):
            try:
                value = float(value)
            except (TypeError, ValueError):
                raise _Wrong(
                    f"Number {place}, {number.what}, is {value!r}.", "give a number."
                ) from None
            if _close(value, number.right):
                continue
            hint = next((h for wrong, h in number.wrong.items() if _close(value, wrong)), "")
            raise _Wrong(
                f"Number {place}, {number.what}, is not {value:g}.",
                hint or "write down the set S first: which values does it hold, and how many?",
            )

    return _verdict(prediction, trials, "Right: every number is what PyTorch gives.")


def _close(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=0.01, abs_tol=0.005)


# The table of wrong answers


def mutant_table() -> str:
    """Wrong answer × check → hint, for every wrong answer that the tests hold: a text table."""
    # Only this table needs them; no lesson does.
    from common.tests.mutants import MUTANTS

    rows = []
    for mutant in MUTANTS:
        verdict = mutant.check(mutant.answer)
        rows.append((mutant.name, mutant.check.__name__, verdict.hint or verdict.state))
    widths = [max(len(row[k]) for row in rows) for k in (0, 1)]
    lines = [
        f"{name:<{widths[0]}}  {check:<{widths[1]}}  {hint}"
        for name, check, hint in [("wrong answer", "check", "hint"), *rows]
    ]
    lines.insert(1, f"{'-' * widths[0]}  {'-' * widths[1]}  {'-' * 40}")
    return "\n".join(lines)
