"""Norms that belong to no lesson, and how to put any layer in the place of a network's norms."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


def replace_norms(
    model: nn.Module,
    make: Callable[[int, tuple[int, int, int]], nn.Module],
    image_size: int,
) -> nn.Module:
    """``model`` with ``make(place, shape)`` instead of each norm layer, changed in place.

    ``place`` counts the norms in the order in which they are used, from 0; ``shape`` is that of
    the maps there, ``(C, H, W)``, for images ``(3, image_size, image_size)``.
    """
    used: list[tuple[nn.Module, tuple[int, int, int]]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, y: used.append((layer, tuple(y.shape[1:]))))
        for layer in model.modules()
        if isinstance(layer, NORMS)
    ]
    was_training = model.training
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, image_size, image_size))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    names = {layer: name for name, layer in model.named_modules()}
    for place, (layer, shape) in enumerate(used):
        path, _, leaf = names[layer].rpartition(".")
        setattr(model.get_submodule(path), leaf, make(place, shape))
    return model


def without_norms(model: nn.Module, image_size: int) -> nn.Module:
    """``model`` without its norms, its convolutions with biases instead, changed in place."""
    replace_norms(model, lambda place, shape: nn.Identity(), image_size)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(layer.out_channels))
    return model


class RMSNorm2d(nn.Module):
    """Divides by the root of the mean square, without centring (Zhang & Sennrich, 2019).

    Takes and returns ``(N, C, H, W)``. ``over`` is ``channels`` (one pixel's) or ``image``
    (everything of one image); γ and β a channel, as the other norms have.
    """

    def __init__(self, channels: int, over: str, eps: float = 1e-5) -> None:
        super().__init__()
        self.axes = {"channels": (1,), "image": (1, 2, 3)}[over]
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(self.axes, keepdim=True) + self.eps)
        return x * scale * self.weight + self.bias


class ShakenBatchNorm(nn.BatchNorm2d):
    """Batch norm whose output is scaled and moved at random, anew in each step, while it trains.

    For each step every channel draws a factor from 1 to 1.25 and an amount from −0.5 to 0.5, and
    each image varies both by about 0.1, so that the inputs of the next layer never have the same
    distribution twice. In eval mode the mean factor is used. Takes and returns ``(N, C, H, W)``.
    Source: Santurkar et al., "How does batch normalization help optimization?", 2018, appendix A.
    """

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if not self.training:
            return 1.125 * y
        n, c = y.shape[:2]
        factor = 1 + 0.25 * torch.rand(1, c, 1, 1, device=y.device)
        amount = torch.rand(1, c, 1, 1, device=y.device) - 0.5
        factor = factor + 0.1 * torch.randn(n, c, 1, 1, device=y.device)
        amount = amount + 0.1 * (2 * torch.rand(n, c, 1, 1, device=y.device) - 1)
        return factor * y + amount


class GhostBatchNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of ``ghost`` images at a time (Hoffer et al., 2017).

    Takes and returns ``(N, C, H, W)``; a last ghost may be smaller.
    """

    def __init__(self, channels: int, ghost: int = 16) -> None:
        super().__init__(channels)
        self.ghost = ghost

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        return torch.cat(
            [super(GhostBatchNorm, self).forward(part) for part in x.split(self.ghost)]
        )


class QuietBatchNorm(nn.BatchNorm2d):
    """Batch norm that normalises with the running statistics already while it trains.

    The gradient is that of batch norm, but what an image becomes hardly depends on its batch: batch
    renormalisation (Ioffe, 2017), its corrections limited to a factor of 4 and a shift of 5. The
    first ``warmup`` steps are batch norm's own, for the running statistics mean nothing yet. Takes
    and returns ``(N, C, H, W)``.
    """

    def __init__(self, channels: int, warmup: int = 50) -> None:
        super().__init__(channels)
        self.warmup = warmup

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.num_batches_tracked < self.warmup:
            return super().forward(x)
        with torch.no_grad():
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            deviation = torch.sqrt(self.running_var + self.eps)
            r = (torch.sqrt(variance + self.eps) / deviation).clamp(0.25, 4)
            d = ((mean - self.running_mean) / deviation).clamp(-5, 5)
        y = F.batch_norm(x, self.running_mean, self.running_var, None, None, True, self.momentum)
        self.num_batches_tracked += 1
        y = y * r[:, None, None] + d[:, None, None]
        return y * self.weight[:, None, None] + self.bias[:, None, None]
