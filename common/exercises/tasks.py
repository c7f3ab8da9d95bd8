"""What an exercise asks for: how it is called, what is right, and which mistakes are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from common.exercises.inputs import Inputs, alike
from common.exercises.mistakes import (
    NORMALISED_MISTAKES,
    RIGHT_WAY,
    STATISTICS_MISTAKES,
    Way,
    wrong_sets,
)
from common.exercises.verdict import Wrong


@dataclass
class Statistics:
    """f(x) or f(x, groups) -> (mean, variance), each without the reduced axes."""

    layout: str
    names: tuple[str, ...] = ("mean", "variance")
    success = "Right: mean, variance and their gradients are those that PyTorch computes."

    def call(self, function: Callable, i: Inputs) -> Any:
        return function(i.x, i.groups) if self.layout == "group" else function(i.x)

    def expected(self, i: Inputs) -> tuple[torch.Tensor, ...]:
        axes = RIGHT_WAY[self.layout].axes
        variance, mean = torch.var_mean(
            RIGHT_WAY[self.layout]._cut(i.x, i.groups), axes, correction=0
        )
        return mean, variance

    def by(self, way: Way, i: Inputs) -> tuple[torch.Tensor, ...]:
        return tuple(t.squeeze(way.axes) for t in way.statistics(i.x, i.groups))

    def mistakes(self) -> list[tuple[dict[str, Any], str]]:
        return [*STATISTICS_MISTAKES, *wrong_sets(self.layout)]

    def special(self, i: Inputs, got: tuple[torch.Tensor, ...]) -> str:
        """The hint for mistakes that are no `Way`; else ""."""
        mean, variance = self.expected(i)
        if alike((got[1], got[0]), (mean, variance)):
            return (
                "mean and variance are swapped: return (mean, variance). torch.var_mean gives the "
                "variance first."
            )
        return ""

    def prepare(self, function: Callable) -> Callable:
        return function

    def differentiable(self, i: Inputs) -> tuple[tuple[str, torch.Tensor], ...]:
        return (("x", i.x),)

    def extra(self, function: Callable) -> None:
        """Further trials that belong to this exercise alone."""


@dataclass
class Normalised(Statistics):
    """f(x, gamma, beta, eps) or f(x, groups, gamma, beta, eps) -> y of x's shape."""

    names: tuple[str, ...] = ("output",)
    success = "Right: outputs and gradients are those of PyTorch's layer."

    def call(self, function: Callable, i: Inputs) -> Any:
        if self.layout == "group":
            return function(i.x, i.groups, i.gamma, i.beta, i.eps)
        return function(i.x, i.gamma, i.beta, i.eps)

    def expected(self, i: Inputs) -> tuple[torch.Tensor, ...]:
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

    def by(self, way: Way, i: Inputs) -> tuple[torch.Tensor, ...]:
        return (way.normalised(i),)

    def mistakes(self) -> list[tuple[dict[str, Any], str]]:
        listed = [*STATISTICS_MISTAKES, *NORMALISED_MISTAKES, *wrong_sets(self.layout)]
        if self.layout == "group":
            hint = "channels of a group share one gamma and one beta: each channel c has its own."
            listed.append(({"affine": "per group"}, hint))
        return listed

    def special(self, i: Inputs, got: tuple[torch.Tensor, ...]) -> str:
        return ""

    def differentiable(self, i: Inputs) -> tuple[tuple[str, torch.Tensor], ...]:
        return (("x", i.x), ("gamma", i.gamma), ("beta", i.beta))


def construct(cls: type[nn.Module], *arguments: Any, **keywords: Any) -> nn.Module:
    """A layer of the learner's class; what is no such class is told so."""
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        raise Wrong(
            f"The check got {getattr(cls, '__name__', type(cls).__name__)}, not a layer's class.",
            "hand over the class itself, a subclass of nn.Module, without calling it.",
        )
    return cls(*arguments, **keywords)


AFFINE = ("weight", "bias")
