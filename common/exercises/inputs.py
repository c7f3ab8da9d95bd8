"""The inputs that answers are tried on, and the comparison of results.

Below both the mistakes and the trials, for both need them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from common.exercises.verdict import Wrong


@dataclass(frozen=True)
class Inputs:
    """The arguments of one trial."""

    x: torch.Tensor
    gamma: torch.Tensor
    beta: torch.Tensor
    eps: float = 0.1  # large, so that it matters where it stands
    groups: int = 2

    def to(self, *arguments: Any, **keywords: Any) -> Inputs:
        """The same inputs in another dtype, on another device or in another memory format."""
        return replace(
            self,
            x=self.x.to(*arguments, **keywords),
            gamma=self.gamma.to(*arguments),
            beta=self.beta.to(*arguments),
        )

    def leaves(self) -> Inputs:
        """Copies that record a gradient."""
        x, gamma, beta = (t.detach().clone().requires_grad_() for t in self.tensors)
        return replace(self, x=x, gamma=gamma, beta=beta)

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.x, self.gamma, self.beta


def sample(layout: str, shape: tuple[int, ...] = (5, 6, 3, 4), seed: int = 0) -> Inputs:
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
    return Inputs(x, gamma, beta)


def as_tensors(value: Any, names: tuple[str, ...]) -> tuple[torch.Tensor, ...]:
    """The learner's result as a tuple of as many tensors as there are names."""
    if value is None:
        raise Wrong("Your function returns nothing.", "is the return line missing?")
    if isinstance(value, torch.Tensor) and len(names) == 1:
        return (value,)
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) != len(names):
        got = f"{len(values)} things" if len(values) > 1 else f"one {type(value).__name__}"
        raise Wrong(
            f"Your function returns {got}, not {' and '.join(names)}.",
            f"return {', '.join(names)}",
        )
    for name, item in zip(names, values, strict=True):
        if not isinstance(item, torch.Tensor):
            raise Wrong(
                f"The {name} is of type {type(item).__name__}, not a tensor.",
                "stay with PyTorch's tensors: no numpy, no .item(), no .tolist().",
            )
    return values


def alike(
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


def worst(
    names: tuple[str, ...], got: tuple[torch.Tensor, ...], right: tuple[torch.Tensor, ...]
) -> tuple[str, torch.Tensor, torch.Tensor]:
    """(name, right result, learner's result) of the first result that is wrong."""
    for name, yours, mine in zip(names, got, right, strict=True):
        if not alike((yours,), (mine,)):
            return name, mine, yours
    return names[0], right[0], got[0]


def difference(yours: torch.Tensor, mine: torch.Tensor) -> str:
    """Where two results differ most."""
    if yours.shape != mine.shape:
        return f"its shape is {tuple(yours.shape)}, not {tuple(mine.shape)}"
    yours, mine = yours.detach().double(), mine.detach().double()
    # NaN counts as the largest difference of all.
    at = int((yours - mine).abs().nan_to_num(math.inf, math.inf).argmax())
    position = tuple(int(k) for k in torch.unravel_index(torch.tensor(at), mine.shape))
    return f"at {list(position)} it is {yours.flatten()[at]:.4g}, not {mine.flatten()[at]:.4g}"


def name_of_dtype(value: torch.Tensor) -> str:
    """The dtype without "torch."."""
    return str(value.dtype).removeprefix("torch.")
