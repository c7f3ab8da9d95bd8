"""What networks of several kinds are built from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_IMAGE = 16


def convolution(norm: str, inputs: int, outputs: int, kernel: int = 1, **more: Any) -> nn.Conv2d:
    """A convolution with a norm beside it: without bias, for the norm brings a shift a channel.

    Where ``norm`` is ``none`` it has a bias in the shift's place, which starts at 0 as that does: a
    network that could not shift its maps at all would lose for more than the want of a norm.
    ``more`` is passed to ``nn.Conv2d``.
    """
    layer = nn.Conv2d(inputs, outputs, kernel, bias=False, **more)
    if norm == "none":
        # Afterwards, so that the weights of one seed are the same with and without norm.
        layer.bias = nn.Parameter(torch.zeros(outputs))
    return layer


class Residual(nn.Sequential):
    """A skip connection: ``body(x) + shortcut(x)``, with ``x`` itself where there is no shortcut.

    Takes ``(N, C, H, W)``; ``body`` and ``shortcut`` must agree on the shape they return.
    Source: He et al., "Deep residual learning for image recognition", 2016.
    """

    # A Sequential only so that torchsummary, which gives every other kind of module a row,
    # lists the layers inside and adds none for the sum.

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + (x if self.shortcut is None else self.shortcut(x))
