"""What an exercise asks for: how it is called, what is right, and which mistakes are known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from common.exercises.errors import hint_for
from common.exercises.inputs import LAYOUTS, Inputs, alike
from common.exercises.learner import Learner
from common.exercises.mistakes import Mistake
from common.exercises.traces import done_to, selected
from common.exercises.verdict import Wrong
from common.exercises.ways import RIGHT_WAY

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
        if len(yours) == 1 < len(shape) and len(shape) == 2 and yours.numel() == shape.numel():
            yield (
                tuple(result.reshape(shape[::-1]).T for result in got),
                "the parts lie one after another: torch.stack(parts, 1), not torch.cat.",
            )
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
                    "return. (Or torch.stack what a loop has made along the axis it goes along.)",
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
