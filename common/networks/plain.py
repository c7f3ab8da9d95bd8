"""A plain stack of convolutions of any depth, to see what norms do for depth and initialisation."""

from __future__ import annotations

import math

from torch import Tensor, nn

from common.norms import make_norm


class PlainStack(nn.Module):
    """``depth`` times 3×3 convolution, norm, ReLU; then the average of all positions, and a layer.

    Takes ``(N, 3, H, W)``, returns logits ``(N, classes)``. Without a norm the convolutions have
    biases, for a norm's shift stands in for them elsewhere.

    Args:
        norm: as ``make_norm`` takes it.
        skips: whether each of the equal layers adds its input to its output.
        gain: the convolutions' weights are He's times this (He et al., 2015).
        halvings: how many of the layers, at equal distances, halve the maps with a stride of 2.

    Attributes:
        layers: one ``Sequential`` of convolution, norm and ReLU each.
    """

    def __init__(
        self,
        norm: str,
        depth: int = 8,
        width: int = 16,
        *,
        classes: int = 10,
        groups: int = 4,
        skips: bool = False,
        gain: float = 1.0,
        halvings: int = 0,
    ) -> None:
        super().__init__()
        halving = {round(depth * (i + 1) / (halvings + 1)) for i in range(halvings)}
        self.skips, layers = skips, []
        for place in range(depth):
            stride = 2 if place in halving else 1
            convolution = nn.Conv2d(
                width if place else 3, width, 3, stride, padding=1, bias=norm == "none"
            )
            nn.init.kaiming_normal_(convolution.weight)
            convolution.weight.data.mul_(gain)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
            layers.append(nn.Sequential(convolution, make_norm(norm, width, groups), nn.ReLU()))
        self.layers = nn.ModuleList(layers)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
        nn.init.normal_(self.head[-1].weight, std=1 / math.sqrt(width))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            out = layer(x)
            x = x + out if self.skips and out.shape == x.shape else out
        return self.head(x)
