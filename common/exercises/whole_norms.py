"""The exercises that ask for a whole norm: normalised, scaled and shifted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional as F

from common.exercises import mistakes, other_sets
from common.exercises.inputs import Inputs, alike, as_tensors, sample
from common.exercises.mistakes import Mistake
from common.exercises.tasks import Results, Task
from common.exercises.traces import done_to, factor, rearranged
from common.exercises.ways import Way, cut_channels


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
            *self._end_mistakes(),
            *mistakes.SHIFT_MISTAKES,
            # Joined as it was cut, "batch first" is right.
            *(
                m
                for m in other_sets.wrong_sets(self.layout)
                if m[0]["cut"] not in ("batch first", "overlapping")
            ),
        ]
        if self.layout == "group":
            listed.append(({"affine": "per group"}, mistakes.SHARED_IN_A_GROUP))
            hint = "gamma and beta go by the place in a group: each channel c has its own."
            listed.append(({"affine": "per place"}, hint))
        if self.layout == "tokens":
            hint = "that is RMSNorm: layer norm subtracts the mean, above and in the variance."
            listed.insert(0, ({"centre": "no", "variance": "uncentred"}, hint))
        return listed

    def _end_mistakes(self) -> list[Mistake]:
        if self.layout != "batch":
            return mistakes.END_MISTAKES
        places = (
            " (F.batch_norm gets them by name, weight=gamma and bias=beta: its second and third "
            "argument are the running statistics.)"
        )
        return [
            (change, hint + places if change == {"affine": "missing"} else hint)
            for change, hint in mistakes.END_MISTAKES
        ]

    def rare_mistakes(self) -> list[Mistake]:
        """Those that are tried alone."""
        lone = [
            *mistakes.LONE_MISTAKES,
            *mistakes.OTHER_SPREADS,
            (
                {"centre": "no", "divide": "no"},
                "x̂ is not used: x itself is scaled and shifted. It is gamma · x̂ + beta.",
            ),
            mistakes.NORM_TWICE,
            *((change, hint.format("variance")) for change, hint in mistakes.EPS_ELSEWHERE),
        ]
        if self.layout == "group":
            lone += [
                ({"order": order, "variance": variance}, mistakes.REPEATED)
                for order in ("repeated", "mean repeated", "variance repeated")
                for variance in ("centred", "around repeated")
            ]
        if len(self.right_way.axes) > 1:
            lone.append(mistakes.AXIS_BY_AXIS)
        if self.layout in ("batch", "channels", "group"):
            lone.append(mistakes.AFFINE_REPEATED)
        if self.layout in ("batch", "channels"):
            lone.append(mistakes.IN_MEMORY)
        if self.layout == "batch":
            lone.append(mistakes.FRESH)
        return [*lone, *other_sets.rare_mistakes(self.layout)]

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

    def rare_mistakes(self) -> list[Mistake]:
        """Those that are tried alone."""
        affine = ("of x alone", "beta centred")
        return [m for m in super().rare_mistakes() if m[0].get("affine") not in affine]

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
            *(
                (change, f"you divide by the standard deviation. {plain}.")
                for change in (
                    {"variance": "centred"},
                    {"variance": "centred", "correction": 1},
                )
            ),
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
                for change, hint in other_sets.wrong_sets("tokens")
            ),
        ]

    def rare_mistakes(self) -> list[Mistake]:
        """Those that are tried alone."""
        plain = "RMSNorm divides by the root of the mean of x²"
        of_sums = "the root of the sum of x² is {} by D{}: sqrt(sum / D) is sqrt(sum) / sqrt(D)."
        return [
            *((change, hint.format(self.spread)) for change, hint in mistakes.EPS_ELSEWHERE),
            ({"eps": "in x"}, "eps is added to x before the square: it is mean of x² + eps."),
            ({"divide": "largest"}, f"you divide by the largest |x|. {plain}."),
            *(
                (
                    {"average": "sum of squares", "divide": divide, "eps": eps},
                    of_sums.format(how, what)
                    + " And eps belongs inside: sqrt(mean of x² + eps)." * (eps != "inside"),
                )
                for eps in ("inside", "outside", "missing")
                for divide, how, what in (
                    ("root over |S|", "divided", " itself"),
                    ("root times root |S|", "multiplied", "'s root"),
                )
            ),
            ({"average": "twice"}, of_sums.format("divided", " itself")),
            *other_sets.of_a_part("tokens"),
        ]
