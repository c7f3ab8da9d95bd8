"""What an exercise asks for: how it is called, what is right, and which mistakes are known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional as F

from common.exercises import mistakes
from common.exercises.errors import hint_for
from common.exercises.inputs import LAYOUTS, Inputs, alike
from common.exercises.learner import Learner
from common.exercises.mistakes import Mistake
from common.exercises.verdict import Wrong
from common.exercises.ways import RIGHT_WAY, Way

Results = tuple[torch.Tensor, ...]


@dataclass
class Task:
    """An exercise: a function of some of the `Inputs`, compared with PyTorch's own.

    layout: see `LAYOUTS`. arguments: which of the inputs the function takes, in its order.
    """

    layout: str
    arguments: tuple[str, ...] = ("x",)
    names: tuple[str, ...] = ("output",)
    success: str = "Right: outputs and gradients are those of PyTorch's layer."
    spread: str = "variance"  # what the second statistic is called

    @property
    def right_way(self) -> Any:
        """The way that gives the expected result; mistakes are changes of it."""
        return RIGHT_WAY[self.layout]

    @property
    def sets(self) -> str:
        """The axes of S in words."""
        return self.right_way.words(LAYOUTS[self.layout].letters)

    def prepare(self, learner: Learner) -> Callable:
        """The function to try; a layer's class is looked at first."""
        if isinstance(learner.answer, type):
            raise Wrong(
                f"The check got the class {learner.answer.__name__}, not a function.",
                "hand over the function of this exercise, without calling it.",
            )
        return learner

    def call(self, run: Callable, i: Inputs) -> Any:
        """The learner's result."""
        return run(*(getattr(i, name) for name in self.arguments))

    def expected(self, i: Inputs) -> Results:
        """The right result."""
        raise NotImplementedError

    def by(self, way: Any, i: Inputs) -> Results:
        """The result of another way."""
        raise NotImplementedError

    def mistakes(self) -> list[Mistake]:
        """The known mistakes, which may come in pairs."""
        raise NotImplementedError

    def rare_mistakes(self) -> list[Mistake]:
        """Those that are tried alone."""
        return []

    def special(self, i: Inputs, got: Results) -> str:
        """The hint for mistakes that are no way of their own; else ""."""
        return ""

    def differentiable(self, i: Inputs) -> dict[str, torch.Tensor]:
        """The inputs that must get a gradient."""
        return {n: t for n, t in i.tensors.items() if n in self.arguments}

    def extra(self, run: Callable) -> None:
        """Further trials that belong to this exercise alone."""

    def hint(self, error: Exception, line: str) -> str:
        """What an error in the learner's code usually means here."""
        shape = ", ".join(map(str, LAYOUTS[self.layout].shape))
        return hint_for(
            error,
            line,
            self.layout,
            f"call your function on torch.randn({shape}) in a new cell",
            affine="gamma" in self.arguments,
        )

    def turned(self, i: Inputs, got: Results) -> Iterator[tuple[Results, str]]:
        """Results of the wrong shape in the right one, each with the hint that says how."""
        yours, shape = got[0].shape, self.expected(i)[0].shape
        if any(r.shape != yours for r in got) or yours.numel() != shape.numel():
            return
        if _without_ones(yours) == _without_ones(shape):
            return
        for order in itertools.permutations(range(len(yours))):
            turned = tuple(result.permute(order) for result in got)
            if turned[0].shape == shape:
                yield (
                    turned,
                    "the axes are in another order: undo the permute or transpose before you "
                    "return.",
                )
        yield (
            tuple(result.reshape(shape) for result in got),
            f"reshape the result back to {tuple(shape)}.",
        )

    def shape_hint(self, got: Results, right: Results) -> str:
        """The hint for a wrong shape; "" if it tells nothing."""
        for yours, mine in zip(got, right, strict=True):
            if yours.shape == mine.shape:
                continue
            if yours.numel() != mine.numel():
                return ""
            if _without_ones(yours.shape) == _without_ones(mine.shape):
                return (
                    f"axes of length 1 are too many or too few: {tuple(mine.shape)} has none for "
                    "the axes averaged away. keepdim=True keeps them, squeeze and flatten drop "
                    "them."
                )
            return (
                "there are as many values as there should be: is a permute, a transpose or a "
                "reshape not undone?"
            )
        return ""

    def spoilt(self, i: Inputs, got: Results, right: Results) -> str:
        """The hint for a right result that something was done to; else ""."""
        if alike(got[:1], (i.x,)):
            return "x comes back as it is."
        for yours, mine in zip(got, right, strict=True):
            if yours.shape != mine.shape or alike((yours,), (mine,)):
                continue
            for order in itertools.permutations(range(mine.dim())):
                if alike((mine.permute(order).reshape(mine.shape),), (yours,)):
                    return mistakes.MISPLACED
            rounded = [mine.trunc(), *(mine.round(decimals=k) for k in (0, 1, 2, 3))]
            if any(alike((one,), (yours,)) for one in rounded):
                return "the result is rounded: return it with all its digits."
            for function in (torch.relu, torch.abs, torch.tanh, torch.sigmoid):
                if alike((function(mine),), (yours,)):
                    return f"the result goes through {function.__name__}: return it as it is."
            if not yours.isnan().any() and alike((mine.clamp(yours.min(), yours.max()),), (yours,)):
                return "the result is clamped: it may be as large as it comes out."
        return ""


def _without_ones(shape: torch.Size) -> list[int]:
    return [length for length in shape if length != 1]


@dataclass
class Statistics(Task):
    """f(x) or f(x, groups) -> (mean, variance), each without the reduced axes."""

    names: tuple[str, ...] = ("mean", "variance")
    success: str = "Right: mean, variance and their gradients are those that PyTorch computes."

    def __post_init__(self) -> None:
        if self.layout == "group":
            self.arguments = ("x", "groups")

    def expected(self, i: Inputs) -> Results:
        """The right result."""
        x = i.x
        if self.layout == "group":
            n, c, h, w = x.shape
            x = x.reshape(n, i.groups, c // i.groups, h, w)
        variance, mean = torch.var_mean(x, self.right_way.axes, correction=0)
        return mean, variance

    def by(self, way: Way, i: Inputs) -> Results:
        """The result of another way."""
        mean, variance = way.statistics(i.x, i.groups)
        return mean.squeeze(way.mean_axes or way.axes), variance.squeeze(
            way.variance_axes or way.axes
        )

    def mistakes(self) -> list[Mistake]:
        """The known mistakes, which may come in pairs."""
        sets = mistakes.wrong_sets(self.layout)
        # Values in the wrong places concern what has places.
        sets = [m for m in sets if not m[0]["cut"].startswith("moved")]
        return [*mistakes.STATISTICS_MISTAKES, *sets]

    def rare_mistakes(self) -> list[Mistake]:
        """Those that are tried alone."""
        return mistakes.rare_mistakes(self.layout)

    def special(self, i: Inputs, got: Results) -> str:
        """The hint for mistakes that are no way of their own; else ""."""
        mean, variance = self.expected(i)
        if alike((got[1], got[0]), (mean, variance)):
            return (
                "mean and variance are swapped: return (mean, variance). torch.var_mean gives the "
                "variance first."
            )
        return ""


@dataclass
class Normalised(Task):
    """f(x, gamma, beta, eps) or f(x, groups, gamma, beta, eps) -> y of x's shape."""

    arguments: tuple[str, ...] = ("x", "gamma", "beta", "eps")

    def __post_init__(self) -> None:
        if self.layout == "group":
            self.arguments = ("x", "groups", "gamma", "beta", "eps")

    def expected(self, i: Inputs) -> Results:
        """The right result."""
        if self.layout == "batch":
            y = F.batch_norm(i.x, None, None, i.gamma, i.beta, training=True, eps=i.eps)
        elif self.layout == "group":
            y = F.group_norm(i.x, i.groups, i.gamma, i.beta, i.eps)
        elif self.layout == "channels":
            last = i.x.permute(0, 2, 3, 1)
            y = F.layer_norm(last, last.shape[3:], i.gamma, i.beta, i.eps).permute(0, 3, 1, 2)
        else:
            y = F.layer_norm(i.x, i.gamma.shape, i.gamma, i.beta, i.eps)
        return (y,)

    def by(self, way: Way, i: Inputs) -> Results:
        """The result of another way."""
        return (way.normalised(i),)

    def mistakes(self) -> list[Mistake]:
        """The known mistakes, which may come in pairs."""
        listed = [
            *mistakes.STATISTICS_MISTAKES,
            *mistakes.CENTRE_MISTAKES,
            *mistakes.END_MISTAKES,
            *mistakes.SHIFT_MISTAKES,
            *mistakes.wrong_sets(self.layout),
        ]
        if self.layout == "group":
            hint = "channels of a group share one gamma and one beta: each channel c has its own."
            listed.append(({"affine": "per group"}, hint))
        if self.layout == "tokens":
            hint = "that is RMSNorm: layer norm subtracts the mean, above and in the variance."
            listed.insert(0, ({"centre": "no", "variance": "uncentred"}, hint))
        return listed

    def rare_mistakes(self) -> list[Mistake]:
        """Those that are tried alone."""
        return mistakes.rare_mistakes(self.layout)


@dataclass
class RootMeanSquare(Normalised):
    """f(x, weight, eps) -> y: layer norm on tokens without centring and without beta."""

    arguments: tuple[str, ...] = ("x", "gamma", "eps")
    spread: str = "mean of x²"

    @property
    def right_way(self) -> Way:
        """The way that gives the expected result; mistakes are changes of it."""
        return Way((2,), centre="no", variance="uncentred", affine="no shift")

    def expected(self, i: Inputs) -> Results:
        """The right result."""
        return (F.rms_norm(i.x, i.gamma.shape, i.gamma, i.eps),)

    def by(self, way: Way, i: Inputs) -> Results:
        """The result of another way."""
        return (way.normalised(replace(i, beta=torch.zeros_like(i.beta))),)

    def mistakes(self) -> list[Mistake]:
        """The known mistakes, which may come in pairs."""
        plain = "RMSNorm divides by the root of the mean of x²"
        hints = {
            "eps": lambda hint: hint.replace("variance", "mean of x²"),
            "divide": lambda hint: hint.replace("variance", "mean of x²").replace(
                "the standard deviation", "the root mean square"
            ),
            "affine": lambda hint: hint,
        }
        return [
            (
                {"centre": "minus", "variance": "centred"},
                f"that is layer norm: {plain}, and subtracts no mean.",
            ),
            ({"centre": "minus"}, f"the mean is subtracted. {plain} and leaves the mean in."),
            ({"variance": "centred"}, f"you divide by the standard deviation. {plain}."),
            (
                {"average": "sum of squares"},
                "the squares are summed, not averaged: divide by D, their number.",
            ),
            ({"variance": "square of the mean"}, f"you square the mean of x. {plain}."),
            (
                {"affine": "first"},
                "weight is applied before the norm: divide first, then scale.",
            ),
            *(
                (
                    {"variance": "mean of |x|", "divide": divide},
                    f"you take the mean of |x|, not of x². {plain}.",
                )
                for divide in ("root", "variance")
            ),
            *(
                (change, hints[next(iter(change))](hint).replace("gamma", "weight"))
                for change, hint in mistakes.END_MISTAKES
                if change.get("affine") not in ("first", "missing")
            ),
            *(
                (change, hint.replace("layer norm on tokens", "RMSNorm"))
                for change, hint in mistakes.wrong_sets("tokens")
            ),
        ]

    def rare_mistakes(self) -> list[Mistake]:
        """Those that are tried alone."""
        return []
