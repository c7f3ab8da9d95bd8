"""The exercises that ask for mean and variance of each set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from common.exercises import mistakes, other_sets
from common.exercises.inputs import Inputs, alike
from common.exercises.mistakes import Mistake
from common.exercises.tasks import Results, Task
from common.exercises.traces import made_of
from common.exercises.ways import Way, cut_channels


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
        sets = other_sets.wrong_sets(self.layout)
        # Values in the wrong places concern what has places.
        sets = [m for m in sets if not m[0]["cut"].startswith("moved")]
        sets = [m for m in sets if not m[0]["cut"].endswith("left so")]
        return [*mistakes.STATISTICS_MISTAKES, *sets]

    def rare_mistakes(self) -> list[Mistake]:
        """Those that are tried alone."""
        listed = [*mistakes.OTHER_STATISTICS, *other_sets.rare_mistakes(self.layout)]
        if self.layout == "group":
            listed.append(({"variance": "around repeated"}, mistakes.REPEATED))
            # Of x these are axes as well, but they leave other shapes.
            listed += [
                ({"axes": axes}, other_sets.wrong_axes_of_the_cut(axes))
                for axes in ((3,), (4,), (3, 4))
            ]
        return listed

    def otherwise(self, run: Callable, i: Inputs, got: Results) -> str:
        """The hint for what neither a known mistake nor something done afterwards explains."""
        for name, yours, mine in zip(self.names, got, self.expected(i), strict=True):
            if not alike((yours,), (mine,)):
                return (
                    self._of_the_first(i, got)
                    or self._of_shifted_values(i, got)
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
        for change, hint in other_sets.wrong_sets(self.layout):
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

    def _of_the_first(self, i: Inputs, got: Results) -> str:
        """The hint for statistics of one set that all sets get; else ""."""
        for yours, mine in zip(got, self.expected(i), strict=True):
            if alike((yours,), (mine.flatten()[0].expand_as(mine),)):
                return "all sets get what belongs to the first one: does the loop use its counter?"
        return ""

    def _of_shifted_values(self, i: Inputs, got: Results) -> str:
        """The hint for the mean of values that something has been subtracted from; else ""."""
        mean = self.expected(i)[0]
        if got[0].shape != mean.shape or alike(got[:1], (mean,)):
            return ""
        values = cut_channels(self.right_way.cut, i.x, i.groups)
        first = values[
            tuple(
                slice(0, 1) if k in self.right_way.axes else slice(None)
                for k in range(values.dim())
            )
        ].reshape(mean.shape)
        for shift in (first, i.x.mean().expand_as(mean), mean):
            if alike(got[:1], (mean - shift,)):
                return (
                    "that is the mean of x minus something: what is subtracted before is to be "
                    "added to the mean again."
                )
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
