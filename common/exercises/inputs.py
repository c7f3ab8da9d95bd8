"""The inputs that answers are tried on, and the comparison of results.

Below both the mistakes and the trials, for both need them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from common.exercises.verdict import Wrong


@dataclass(frozen=True)
class Layout:
    """How the input of an exercise is laid out.

    letters: the axes of x. affine: those of them that gamma and beta have. shape: of the ordinary
    input. sizes: other shapes to try, each with a number of groups.
    """

    norm: str
    letters: str = "NCHW"
    affine: tuple[int, ...] = (1,)
    shape: tuple[int, ...] = (5, 6, 3, 4)
    sizes: tuple[tuple[tuple[int, ...], int], ...] = ()


_SIZES = (((1, 4, 1, 3), 2), ((2, 6, 1, 1), 3), ((3, 8, 2, 5), 4), ((4, 4, 4, 4), 1))
_TOKEN_SIZES = (((1, 1, 4), 1), ((2, 3, 8), 1), ((4, 4, 4), 1))
LAYOUTS = {
    "batch": Layout("batch norm", sizes=(*_SIZES, ((2, 1, 1, 1), 1), ((3, 1, 2, 2), 1))),
    "group": Layout("group norm", sizes=(*_SIZES, ((4, 4, 4, 4), 4))),
    "image": Layout("layer norm", affine=(1, 2, 3), sizes=_SIZES),
    "channels": Layout("layer norm over C", sizes=_SIZES),
    "tokens": Layout("layer norm on tokens", "BTD", (2,), (4, 5, 6), _TOKEN_SIZES),
}


@dataclass(frozen=True)
class Inputs:
    """The arguments of one trial; grad is the gradient of y, for a backward pass by hand."""

    x: torch.Tensor
    gamma: torch.Tensor
    beta: torch.Tensor
    grad: torch.Tensor
    affine: tuple[int, ...]
    eps: float = 0.1  # large, so that it matters where it stands
    groups: int = 2

    TENSORS = ("x", "gamma", "beta", "grad")

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The arguments that are tensors, by name."""
        return {name: getattr(self, name) for name in self.TENSORS}

    def to(self, *arguments: Any) -> Inputs:
        """The same inputs in another dtype or on another device."""
        return replace(self, **{n: t.to(*arguments) for n, t in self.tensors.items()})

    def copy(self) -> Inputs:
        """Copies of all tensors, for a function that may change them."""
        return replace(self, **{n: t.detach().clone() for n, t in self.tensors.items()})

    def leaves(self) -> Inputs:
        """Copies that record a gradient."""
        copies = self.copy()
        for tensor in copies.tensors.values():
            tensor.requires_grad_()
        return copies

    def per_value(self, parameter: torch.Tensor) -> torch.Tensor:
        """Gamma or beta in a shape that fits x."""
        if parameter.dim() != len(self.affine):
            return parameter
        shape = [1] * self.x.dim()
        for axis, length in zip(self.affine, parameter.shape, strict=True):
            shape[axis] = length
        return parameter.reshape(shape)


def sample(layout: str, shape: tuple[int, ...] | None = None, seed: int = 0) -> Inputs:
    """Values whose mean and spread differ from channel to channel and image to image."""
    return _sample(layout, shape, seed).copy()


@functools.cache
def _sample(layout: str, shape: tuple[int, ...] | None, seed: int) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    plan = LAYOUTS[layout]
    shape = shape or plan.shape
    tokens = len(shape) == 3
    n, c, h, w = (shape[0], shape[2], shape[1], 1) if tokens else shape

    def ramp(start: float, end: float, steps: int, axis: int) -> torch.Tensor:
        return torch.linspace(start, end, steps).reshape([-1] + [1] * (3 - axis))

    x = torch.randn((n, c, h, w), generator=generator)
    x = x * ramp(0.5, 2, c, 1) * ramp(1, 1.5, n, 0)
    x = x + ramp(-2, 3, c, 1) + ramp(0, 1, n, 0)
    x = x + ramp(-1, 1, h, 2) + ramp(0, 1, w, 3)
    if tokens:
        x = x[..., 0].transpose(1, 2).contiguous()
    affine = [x.shape[axis] for axis in plan.affine]
    gamma = 0.5 + 1.5 * torch.rand(affine, generator=generator)
    beta = torch.randn(affine, generator=generator)
    # Not centred on 0: a gradient through the mean sums over it.
    grad = torch.randn(x.shape, generator=generator) + 1
    return Inputs(x, gamma, beta, grad, plan.affine)


def as_tensors(value: Any, names: tuple[str, ...]) -> tuple[torch.Tensor, ...]:
    """The learner's result as a tuple of as many tensors as there are names."""
    if value is None:
        raise Wrong("Your function returns nothing.", "is the return line missing?")
    # Two results stacked in one tensor unpack like two results.
    several = isinstance(value, (tuple, list)) or (
        isinstance(value, torch.Tensor) and value.dim() > 1 and len(value) == len(names) > 1
    )
    values = tuple(value) if several else (value,)
    if isinstance(value, list) and not any(isinstance(v, torch.Tensor) for v in values):
        raise Wrong(
            "Your function returns a list of numbers.",
            "stay with PyTorch's tensors: no numpy, no .item(), no .tolist().",
        )
    if len(values) > 1 == len(names) and isinstance(value, list):
        raise Wrong(
            f"Your function returns a list of {len(values)} tensors.",
            "torch.stack makes one tensor of them (torch.cat joins along an axis they have).",
        )
    if len(values) != len(names):
        got = f"{len(values)} things" if len(values) > 1 else f"one {type(value).__name__}"
        raise Wrong(
            f"Your function returns {got}; asked for: {' and '.join(names)}.",
            f"return {', '.join(names)}",
        )
    for name, item in zip(names, values, strict=True):
        if isinstance(item, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in item):
            raise Wrong(
                f"The {name} is a {type(item).__name__} of {len(item)} tensors.",
                "torch.stack makes one tensor of them (torch.cat joins along an axis they have).",
            )
        if not isinstance(item, torch.Tensor):
            raise Wrong(
                f"The {name} is of type {type(item).__name__}, not a tensor.",
                "stay with PyTorch's tensors: no numpy, no .item(), no .tolist().",
            )
        if item.is_complex():
            raise Wrong(f"The {name} is complex.", "what is computed from real numbers is real.")
        if not item.is_floating_point():
            raise Wrong(
                f"The {name} comes back as {name_of_dtype(item)}.",
                "wrong dtype: whole numbers and truth values cannot hold it. Is something compared "
                "(>, ==), or converted by .int() or .long()?",
            )
    return values


def alike(
    got: Sequence[torch.Tensor | None],
    right: Sequence[torch.Tensor | None],
    rtol: float = 1e-3,
    atol: float = 1e-4,
    equal_nan: bool = False,
) -> bool:
    """Whether two results have the same shapes and, within a tolerance, the same values."""
    for one, other in zip(got, right, strict=True):
        if one is None or other is None:
            return False
        if one.shape != other.shape:
            return False
        one, other = one.detach().double(), other.detach().double()
        if not torch.allclose(one, other, rtol, atol, equal_nan):
            return False
    return True


def first_alike(got: torch.Tensor, known: Sequence[tuple[torch.Tensor, str]]) -> str:
    """The hint of the first known wrong value that `got` is; else ""."""
    return next((hint for value, hint in known if alike((got,), (value,), equal_nan=True)), "")


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
    position, rest = [], at
    for length in reversed(mine.shape):
        position.insert(0, rest % length)
        rest //= length
    return f"at {position} it is {yours.flatten()[at]:.4g}, not {mine.flatten()[at]:.4g}"


def name_of_dtype(value: torch.Tensor) -> str:
    """The dtype without "torch."."""
    return str(value.dtype).removeprefix("torch.")
