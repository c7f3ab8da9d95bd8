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
from common.exercises.inputs import LAYOUTS, Inputs, alike, as_tensors, sample
from common.exercises.learner import Learner
from common.exercises.mistakes import Mistake
from common.exercises.traces import done_to, factor, made_of, rearranged, selected
from common.exercises.verdict import Wrong
from common.exercises.ways import RIGHT_WAY, Way, cut_channels

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

    def otherwise(self, run: Callable, i: Inputs, got: Results) -> str:
        """The hint for what neither a known mistake nor something done afterwards explains."""
        return ""

    def differentiable(self, i: Inputs) -> dict[str, torch.Tensor]:
        """The inputs that must get a gradient."""
        return {n: t for n, t in i.tensors.items() if n in self.arguments}

    def word(self, name: str) -> str:
        """What the learner calls one of the inputs."""
        return {"grad": "grad_y"}.get(name, name)

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

    def selected(self, i: Inputs, got: Results, right: Results) -> str:
        """The hint for a part of the right values, or for more than there should be; else ""."""
        pairs = zip(got, right, strict=True)
        return selected(*next((a, b) for a, b in pairs if a.shape != b.shape))

    def spoilt(self, i: Inputs, got: Results, right: Results) -> str:
        """The hint for a right result that something was done to; else ""."""
        if alike(got[:1], (i.x,)):
            return "x comes back as it is."
        return next(filter(None, map(done_to, got, right)), "")


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
        return [*mistakes.OTHER_STATISTICS, *mistakes.rare_mistakes(self.layout)]

    def otherwise(self, run: Callable, i: Inputs, got: Results) -> str:
        """The hint for what neither a known mistake nor something done afterwards explains."""
        for name, yours, mine in zip(self.names, got, self.expected(i), strict=True):
            if not alike((yours,), (mine,)):
                return (
                    self._of_other_sets(i, got)
                    or self._spread_out(i, got)
                    or made_of(yours, mine, f"the {name}")
                )
        return ""

    def selected(self, i: Inputs, got: Results, right: Results) -> str:
        """The hint for a part of the right values, or for more than there should be; else ""."""
        for yours, one in zip(got, self.right_way.statistics(i.x, i.groups), strict=True):
            large = yours.shape == i.x.shape and one.dim() == yours.dim()
            if large and alike((yours,), (one.expand_as(yours),)):
                return "each value of x has got its set's: one for each set is asked for."
        return super().selected(i, got, right)

    def _spread_out(self, i: Inputs, got: Results) -> str:
        """The hint for statistics of fewer sets, each of which serves several; else ""."""
        right = self.expected(i)
        for change, hint in mistakes.wrong_sets(self.layout):
            results = self.by(replace(self.right_way, **change), i)
            for yours, mine, fewer in zip(got, right, results, strict=True):
                if yours.shape != mine.shape or alike((yours,), (mine,)):
                    continue
                shapes = [fewer, fewer.unsqueeze(-1)] if fewer.dim() < 2 else [fewer]
                for one in shapes:
                    fits = one.dim() <= yours.dim() and all(
                        a in (1, b)
                        for a, b in zip(one.shape[::-1], yours.shape[::-1], strict=False)
                    )
                    if fits and alike((one.expand_as(yours),), (yours,)):
                        return hint
        return ""

    def _of_other_sets(self, i: Inputs, got: Results) -> str:
        """The hint for statistics of one set or one image alone; else ""."""
        right = self.expected(i)
        alone = self.expected(replace(i, x=i.x[:1]))
        for yours, mine, one in zip(got, right, alone, strict=True):
            if not alike((yours,), (mine,)) and alike((yours,), (one,)):
                return "that is the first image's alone: S runs over N as well."
            if alike((yours,), (mine.flatten()[0].expand_as(mine),)):
                return "all sets get what belongs to the first one: does the loop use its counter?"
        return ""

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
            # Joined as it was cut, "batch first" is right.
            *(
                m
                for m in mistakes.wrong_sets(self.layout)
                if m[0]["cut"] not in ("batch first", "overlapping")
            ),
        ]
        if self.layout == "group":
            listed.append(({"affine": "per group"}, mistakes.SHARED_IN_A_GROUP))
        if self.layout == "tokens":
            hint = "that is RMSNorm: layer norm subtracts the mean, above and in the variance."
            listed.insert(0, ({"centre": "no", "variance": "uncentred"}, hint))
        return listed

    def rare_mistakes(self) -> list[Mistake]:
        """Those that are tried alone."""
        change, hint = mistakes.EPS_ABOVE
        lone = [
            *mistakes.LONE_MISTAKES,
            *mistakes.OTHER_SPREADS,
            mistakes.NORM_TWICE,
            (change, hint.format("variance")),
        ]
        if self.layout in ("batch", "channels"):
            lone.append(mistakes.IN_MEMORY)
        if self.layout == "batch":
            lone.append(mistakes.FRESH)
        return [*lone, *mistakes.rare_mistakes(self.layout)]

    def spoilt(self, i: Inputs, got: Results, right: Results) -> str:
        """The hint for a right result, or a right x̂, that something was done to; else ""."""
        hint = super().spoilt(i, got, right)
        (y,) = got
        if hint or y.shape != i.x.shape:
            return hint
        if alike((y - i.x,), right):
            return "x itself is added to the result."
        (x_hat,) = self.by(replace(self.right_way, affine="missing"), i)
        gamma, beta = i.per_value(i.gamma), i.per_value(self.shift(i))
        return done_to((y - beta) / gamma, x_hat, "x̂") or self._misplaced(y, x_hat, gamma, beta, i)

    def shift(self, i: Inputs) -> torch.Tensor:
        """What is added in the end."""
        return i.beta

    def _beta_elsewhere(self, y: torch.Tensor, x_hat: torch.Tensor, i: Inputs) -> str:
        """The hint for a right gamma · x̂ and a beta along another axis; else ""."""
        beta = i.per_value(self.shift(i)).expand_as(y)
        rest = y - i.per_value(i.gamma) * x_hat
        if rearranged(rest, beta):
            return "gamma · x̂ is right. But beta reaches the wrong places: which axis is it for?"
        return ""

    def _misplaced(
        self,
        y: torch.Tensor,
        x_hat: torch.Tensor,
        gamma: torch.Tensor,
        beta: torch.Tensor,
        i: Inputs,
    ) -> str:
        """The hint for an x̂ whose groups were not joined as they had been cut; else ""."""
        if self.layout != "group" or not rearranged((y - beta) / gamma, x_hat):
            return ""
        cut = cut_channels("neighbours", x_hat, i.groups)
        for order in itertools.permutations(range(cut.dim())):
            if alike((gamma * cut.permute(order).reshape(y.shape) + beta,), (y,)):
                return mistakes.MISPLACED
        return ""

    def otherwise(self, run: Callable, i: Inputs, got: Results) -> str:
        """The hint for an x̂ that is right, and scaled or shifted by other numbers; else "".

        For other values of x they must be the same ones, or it is x̂ that is wrong.
        """
        lines = []
        for x in (i.x, 1.5 * sample(self.layout, seed=9).x):
            inputs = replace(i, x=x)
            y = got[0] if x is i.x else as_tensors(self.call(run, inputs.copy()), self.names)[0]
            (x_hat,) = self.by(replace(self.right_way, affine="missing"), inputs)
            axes = tuple(axis for axis in range(x.dim()) if axis not in i.affine)
            if y.shape != x.shape or not y.isfinite().all():
                return ""
            centred = x_hat - x_hat.mean(axes, keepdim=True)
            scale = (centred * y).sum(axes) / centred.square().sum(axes)
            shift = y.mean(axes) - scale * x_hat.mean(axes)
            if not alike((i.per_value(scale) * x_hat + i.per_value(shift),), (y,)):
                return self._beta_elsewhere(y, x_hat, inputs)
            lines.append((scale, shift))
        if not alike(*lines, rtol=1e-2, atol=1e-3):
            return ""
        (scale, shift), beta = lines[0], self.shift(i)
        if self.layout == "group" and all(
            alike((part,), (part[:, :1].expand_as(part),), 1e-2, 1e-2)
            for part in (t.reshape(i.groups, -1) for t in (scale, shift))
        ):
            return mistakes.SHARED_IN_A_GROUP
        x_hat_is_off = alike((shift,), (beta,), 1e-2, 1e-2) and factor(scale, i.gamma, "x̂", 3e-2)
        if x_hat_is_off and not alike((scale,), (i.gamma,)):
            return x_hat_is_off
        found = []
        for name, wanted, formula, used in (
            ("gamma", i.gamma, "gamma · x̂", scale),
            ("beta", beta, "+ beta", shift),
        ):
            if alike((used,), (wanted,), rtol=1e-2, atol=1e-2):
                continue
            if alike((used.flatten().sort()[0],), (wanted.flatten().sort()[0],), rtol=1e-2):
                found.append(f"{name} reaches the wrong places: the values are in another order.")
                continue
            at = int((used - wanted).abs().argmax())
            # To digits that the fit is good for; + 0.0 makes of −0 a 0.
            counts, is_ = (round(float(t.flatten()[at]), 3) + 0.0 for t in (used, wanted))
            found.append(
                f"{name} counts as {counts:g} where it is {is_:g}: take it as it is, {formula}, "
                "without any function."
            )
        return f"x̂ is right. But {' And '.join(found)}" if found else ""


@dataclass
class OverAxes(Normalised):
    """f(x, axes, eps) -> x̂, of the shape of x, where S runs over the ``axes`` of the layout."""

    arguments: tuple[str, ...] = ("x", "eps")
    success: str = "Right: with the axes of each norm, it gives what PyTorch's layer gives."

    def call(self, run: Callable, i: Inputs) -> Any:
        """The learner's result."""
        return run(i.x, self.right_way.axes, i.eps)

    def mistakes(self) -> list[Mistake]:
        """The known mistakes that are possible where gamma and beta have no part."""
        return [m for m in super().mistakes() if "affine" not in m[0]]

    def expected(self, i: Inputs) -> Results:
        """The right result."""
        return super().expected(_bare(i))

    def by(self, way: Way, i: Inputs) -> Results:
        """The result of another way."""
        return super().by(way, _bare(i))

    def spoilt(self, i: Inputs, got: Results, right: Results) -> str:
        """The hint for a right result that something was done to; else ""."""
        return super().spoilt(_bare(i), got, right)

    def otherwise(self, run: Callable, i: Inputs, got: Results) -> str:
        """The hint for an x̂ that is right but for a factor; else ""."""
        (right,) = self.expected(i)
        return factor(got[0], right, "x̂") if got[0].shape == right.shape else ""


def _bare(i: Inputs) -> Inputs:
    """The same input where gamma and beta do nothing."""
    return replace(i, gamma=torch.ones_like(i.gamma), beta=torch.zeros_like(i.beta))


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
        return (way.normalised(replace(i, beta=self.shift(i))),)

    def word(self, name: str) -> str:
        """What the learner calls one of the inputs."""
        return {"gamma": "weight"}.get(name, name)

    def shift(self, i: Inputs) -> torch.Tensor:
        """What is added in the end: nothing."""
        return torch.zeros_like(i.beta)

    def otherwise(self, run: Callable, i: Inputs, got: Results) -> str:
        """The hint for an x̂ that is right, and scaled by other numbers; else ""."""
        return super().otherwise(run, i, got).replace("gamma", "weight")

    def mistakes(self) -> list[Mistake]:
        """The known mistakes, which may come in pairs."""
        plain = "RMSNorm divides by the root of the mean of x²"
        own = torch.finfo(torch.float32).eps
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
            ({"correction": 1}, "you divide the sum of the squares by D − 1: divide by D."),
            (
                {"eps": f"fixed at {own}"},
                "eps is not handed on: without it PyTorch's function takes one of its own.",
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
        change, hint = mistakes.EPS_ABOVE
        largest = "you divide by the largest |x|. RMSNorm divides by the root of the mean of x²."
        return [(change, hint.format("mean of x²")), ({"divide": "largest"}, largest)]
