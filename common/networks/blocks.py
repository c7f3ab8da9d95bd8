"""What networks of several kinds are built from."""

from __future__ import annotations

from torch import Tensor, nn

SMALLEST_IMAGE = 16


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
