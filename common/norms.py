"""The three norms: PyTorch's layers for building networks, and the course's own for reading.

All of them do the same thing. A value x of a feature map (N, C, H, W) is compared with the
values of a set S of positions it belongs to:

    mu_S      = mean of x over S
    sigma_S^2 = mean of (x - mu_S)^2 over S
    y         = gamma_c * (x - mu_S) / sqrt(sigma_S^2 + eps) + beta_c

and the norms differ only in S:

    batch norm   S = {(n, h, w)} of one channel c              (Ioffe & Szegedy, 2015)
    group norm   S = {(c in one group, h, w)} of one image n   (Wu & He, 2018)
    layer norm   S = {(c, h, w)} of one image n                (Ba, Kiros & Hinton, 2016)

`make_norm` gives the layers that the networks use, from `torch.nn`. `BatchNorm2d`, `GroupNorm`
and `LayerNorm` here are written out step by step; `common/tests/test_norms.py` proves that
they equal PyTorch's. They are slower, so no network is trained with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import nn


def _group_norm(channels: int, groups: int) -> nn.Module:
    _check_groups(channels, groups)
    return nn.GroupNorm(groups, channels)


# How each norm is made for C channels and G groups; one more line is one more norm.
KINDS: dict[str, Callable[[int, int], nn.Module]] = {
    "batch": lambda channels, groups: nn.BatchNorm2d(channels),
    "group": _group_norm,
    "layer": lambda channels, groups: nn.GroupNorm(1, channels),
    "none": lambda channels, groups: nn.Identity(),
}


def make_norm(kind: str, channels: int, groups: int = 4) -> nn.Module:
    """Make the normalisation layer `kind` for feature maps of shape (N, C, H, W).

    kind: "batch" is `nn.BatchNorm2d` (Ioffe & Szegedy, 2015), "group" is `nn.GroupNorm`
    (Wu & He, 2018), "layer" is one group that holds every channel, `nn.GroupNorm(1, C)`
    (Ba, Kiros & Hinton, 2016, with a scale and a shift per channel), "none" is `nn.Identity`.
    channels: C. Every kind but "none" has 2C parameters.
    groups: into how many groups "group" cuts the channels; the other kinds ignore it.

    Raises ValueError for an unknown kind, for fewer than one channel, and for a number of
    groups that does not divide the channels.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown norm {kind!r}: choose one of {', '.join(KINDS)}")
    _check_channels(channels)
    return KINDS[kind](channels, groups)


# The formula, in three small steps


def mean_and_variance(x: torch.Tensor, axes: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """mu_S and sigma_S^2, where S is everything that differs only along `axes`.

    x: any shape. Both results keep x's number of axes, with length 1 along `axes`, so that they
    broadcast against x. The variance is biased: the sum of squares is divided by |S|.
    """
    axes = tuple(axes)
    mean = x.mean(axes, keepdim=True)
    # E[x²] - E[x]² is the same on paper, but cancels all digits where the mean is large.
    variance = (x - mean).square().mean(axes, keepdim=True)
    return mean, variance


def standardise(
    x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, eps: float = 1e-5
) -> torch.Tensor:
    """(x - mu_S) / sqrt(sigma_S^2 + eps), of x's shape."""
    return (x - mean) / torch.sqrt(variance + eps)


def normalise(x: torch.Tensor, axes: Sequence[int], eps: float = 1e-5) -> torch.Tensor:
    """(x - mu_S) / sqrt(sigma_S^2 + eps), where S is everything that differs only along `axes`.

    For x of shape (N, C, H, W), axes (0, 2, 3) is batch norm, (1, 2, 3) layer norm, (2, 3)
    instance norm; group norm first cuts the channel axis in two.
    """
    mean, variance = mean_and_variance(x, axes)
    return standardise(x, mean, variance, eps)


# The layers


class _Norm(nn.Module):
    """What the norms share: eps, and gamma and beta under PyTorch's names `weight` and `bias`."""

    def __init__(self, affine_shape: tuple[int, ...], eps: float, affine: bool) -> None:
        super().__init__()
        self.eps = eps
        self.register_parameter(
            "weight", nn.Parameter(torch.ones(affine_shape)) if affine else None
        )
        self.register_parameter("bias", nn.Parameter(torch.zeros(affine_shape)) if affine else None)

    def scale_and_shift(self, x: torch.Tensor) -> torch.Tensor:
        """Return gamma * x + beta for x of shape (N, C, H, W); x itself without gamma and beta."""
        if self.weight is None:
            return x
        # (C,) becomes (C, 1, 1): one gamma and one beta for all pixels of a channel.
        shape = self.weight.shape if self.weight.dim() == 3 else (-1, 1, 1)
        return x * self.weight.view(shape) + self.bias.view(shape)


class BatchNorm2d(_Norm):
    """Batch normalisation (Ioffe & Szegedy, 2015) of feature maps (N, C, H, W).

    S = {(n, h, w)}: all values of one channel c in the whole batch. In train mode

        y = gamma_c * (x - mu_c) / sqrt(sigma_c^2 + eps) + beta_c

    and the running statistics move towards the batch's by the factor `momentum`,

        running_mean <- (1 - momentum) * running_mean + momentum * mu_c
        running_var  <- (1 - momentum) * running_var  + momentum * sigma_c^2 * |S| / (|S| - 1)

    (the second with the unbiased variance, as in PyTorch). In eval mode they stand in for mu_c
    and sigma_c^2, so that an image's output no longer depends on its batch mates.

    channels: C. momentum: the weight of the newest batch; None means the plain average of all
    batches so far. affine: whether there are gamma and beta, 2C parameters in all.

    Raises ValueError for an input of another shape than (N, C, H, W), and in train mode for a
    batch that holds one value a channel.
    """

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
    ) -> None:
        _check_channels(channels)
        super().__init__((channels,), eps, affine)
        self.channels, self.momentum = channels, momentum
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x of shape (N, C, H, W); the result has the same shape."""
        _check_input(x, self.channels)
        if self.training:
            size_of_s = x.numel() // self.channels
            if size_of_s == 1:
                raise ValueError(
                    f"batch norm in train mode needs more than one value a channel, and an input "
                    f"of shape {tuple(x.shape)} holds one: give it more images or larger ones, "
                    f"or call .eval() to use the running statistics"
                )
            mean, variance = mean_and_variance(x, (0, 2, 3))
            self._update_running_statistics(mean, variance, size_of_s)
        else:
            mean = self.running_mean.view(-1, 1, 1)
            variance = self.running_var.view(-1, 1, 1)
        return self.scale_and_shift(standardise(x, mean, variance, self.eps))

    # The running statistics are a record, not a part of the function that is being learnt.
    @torch.no_grad()
    def _update_running_statistics(
        self, mean: torch.Tensor, variance: torch.Tensor, size_of_s: int
    ) -> None:
        self.num_batches_tracked += 1
        weight = self.momentum
        if weight is None:
            weight = 1 / self.num_batches_tracked.item()
        unbiased = variance * size_of_s / (size_of_s - 1)
        self.running_mean += weight * (mean.flatten() - self.running_mean)
        self.running_var += weight * (unbiased.flatten() - self.running_var)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}, momentum={self.momentum}"


class GroupNorm(_Norm):
    """Group normalisation (Wu & He, 2018) of feature maps (N, C, H, W).

    S = {(c, h, w)}: all values of one image n in the C/G neighbouring channels of one group,

        y = gamma_c * (x - mu_ng) / sqrt(sigma_ng^2 + eps) + beta_c,   c in group g

    The batch takes no part in it, and train and eval mode are the same. One group is layer norm
    with one gamma and one beta a channel; C groups are instance norm (Ulyanov et al., 2016).

    groups: G, a divisor of C. channels: C. affine: whether there are gamma and beta, 2C
    parameters in all, whatever G is.

    Raises ValueError for groups that do not divide the channels and for an input of another
    shape than (N, C, H, W).
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        _check_channels(channels)
        _check_groups(channels, groups)
        super().__init__((channels,), eps, affine)
        self.groups, self.channels = groups, channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x of shape (N, C, H, W); the result has the same shape."""
        _check_input(x, self.channels)
        n, c, h, w = x.shape
        grouped = x.reshape(n, self.groups, c // self.groups, h, w)
        normalised = normalise(grouped, (2, 3, 4), self.eps)
        return self.scale_and_shift(normalised.reshape(n, c, h, w))

    def extra_repr(self) -> str:
        return f"{self.groups}, {self.channels}, eps={self.eps}"


class LayerNorm(_Norm):
    """Layer normalisation (Ba, Kiros & Hinton, 2016) of feature maps (N, C, H, W), in 3 readings.

    The paper normalises a vector of features. For images the name stands for three layers:

    over="image"     S = {(c, h, w)} of one image n, and a gamma and a beta for every position
                     (c, h, w): 2*C*H*W parameters, one image size; `nn.LayerNorm([C, H, W])`
    over="channels"  S = {c} at one pixel (h, w) of one image n, gamma_c and beta_c: 2C
                     parameters; the layer norm of ConvNeXt (Liu et al., 2022)
    over="group"     S = {(c, h, w)} of one image n, gamma_c and beta_c: 2C parameters;
                     `nn.GroupNorm(1, C)` (Wu & He, 2018), the "layer" of `make_norm`

    shape: (C, H, W) for over="image", the number of channels C for the other two.
    affine: whether there are gamma and beta.

    Raises ValueError for an unknown `over`, a shape that does not fit it, an input of another
    number of channels, and, for over="image", an input of another size.
    """

    AXES: ClassVar = {"image": (1, 2, 3), "channels": (1,), "group": (1, 2, 3)}

    def __init__(
        self,
        shape: int | Sequence[int],
        over: str = "image",
        eps: float = 1e-5,
        affine: bool = True,
    ) -> None:
        if over not in self.AXES:
            raise ValueError(
                f"layer norm over {over!r} is unknown: choose one of {', '.join(self.AXES)}"
            )
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if len(shape) != (3 if over == "image" else 1):
            wanted = "(C, H, W)" if over == "image" else "the number of channels"
            raise ValueError(f"layer norm over {over!r} needs {wanted} as its shape, got {shape}")
        if min(shape) < 1:
            raise ValueError(f"layer norm needs lengths of at least 1, got the shape {shape}")
        super().__init__(shape, eps, affine)
        self.shape, self.over = shape, over

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x of shape (N, C, H, W); the result has the same shape."""
        _check_input(x, self.shape[0])
        if self.over == "image" and tuple(x.shape[1:]) != self.shape:
            raise ValueError(
                f"this layer norm was made for images of shape {self.shape} and has a gamma and a "
                f'beta for each of their positions, but got {tuple(x.shape[1:])}: use over="group" '
                f'or over="channels" where the image size may change'
            )
        return self.scale_and_shift(normalise(x, self.AXES[self.over], self.eps))

    def extra_repr(self) -> str:
        return f"{self.shape}, over={self.over!r}, eps={self.eps}"


# What the layers refuse


def _check_channels(channels: int) -> None:
    """Raise ValueError for fewer than one channel."""
    if channels < 1:
        raise ValueError(f"a norm needs at least one channel, got channels={channels}")


def _check_groups(channels: int, groups: int) -> None:
    """Raise ValueError unless `groups` cuts `channels` into groups of equal size."""
    if groups not in range(1, channels + 1) or channels % groups:
        divisors = ", ".join(str(d) for d in range(1, channels + 1) if channels % d == 0)
        raise ValueError(
            f"{channels} channels cannot be cut into {groups} groups of equal size: "
            f"choose groups from {divisors}"
        )


def _check_input(x: torch.Tensor, channels: int) -> None:
    """Raise unless x is a batch (N, C, H, W) of floating-point maps with C = `channels`."""
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(
            f"this layer normalises inputs of shape (N, {channels}, H, W), got {tuple(x.shape)}"
        )
    if not x.is_floating_point():
        raise TypeError(
            f"a norm needs floating-point values, got {x.dtype}: convert with .float() first"
        )
