"""The course's own network, the same in all lessons but for its norm."""

from __future__ import annotations

from torch import Tensor, nn

from common.networks.blocks import Residual, convolution
from common.norms import make_norm


class CourseNetwork(nn.Module):
    """The network the three lessons share: inverted residual blocks, most of them at half size.

    Takes ``(N, 3, H, W)`` with ``H`` and ``W`` from 16 up and returns logits ``(N, classes)``.
    Two networks that differ in ``norm`` differ in their norm layers and in nothing else: the
    other layers have the same names, the same shapes and, under the same seed, the same values
    (without norm the convolutions have biases besides, see ``convolution``). 49,578 parameters
    with ten classes and batch, group or layer norm.

    Attributes:
        stem: two 3×3 convolutions, 3 → 16 channels at full size and 16 → 24 at half size.
        stages: seven inverted residual blocks, four of 24 channels at half size, then three of 32
            at quarter size.
        head: norm, SiLU, average over all positions and a linear layer.

    Source of the block: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks",
    2018. The activation is SiLU (Elfwing et al., 2018).
    """

    # All widths, inside the blocks too, are multiples of 8: GroupNorm can have 1, 2, 4 or 8 groups.
    STEM = 16, 24
    # Channels, stride and expansion: how many times wider the block is inside than at its input.
    STAGES = *[(24, 1, 4)] * 4, (32, 2, 4), *[(32, 1, 3)] * 2

    def __init__(self, norm: str = "batch", classes: int = 10, groups: int = 4) -> None:
        super().__init__()
        first, channels = self.STEM
        self.stem = nn.Sequential(
            convolution(norm, 3, first, 3, padding=1),
            make_norm(norm, first, groups),
            nn.SiLU(),
            convolution(norm, first, channels, 3, stride=2, padding=1),
            make_norm(norm, channels, groups),
        )
        blocks = []
        for width, stride, expansion in self.STAGES:
            wide = expansion * channels
            blocks.append(self._block(channels, wide, width, stride, norm, groups))
            channels = width
        self.stages = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            make_norm(norm, channels, groups),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, classes),
        )

    @staticmethod
    def _block(
        inputs: int, wide: int, outputs: int, stride: int, norm: str, groups: int
    ) -> nn.Module:
        """Widen with a 1×1 convolution, look around with a depthwise 3×3 one, narrow again."""
        body = nn.Sequential(
            convolution(norm, inputs, wide),
            make_norm(norm, wide, groups),
            nn.SiLU(),
            convolution(norm, wide, wide, 3, stride=stride, padding=1, groups=wide),
            make_norm(norm, wide, groups),
            nn.SiLU(),
            convolution(norm, wide, outputs),
            make_norm(norm, outputs, groups),
        )
        return Residual(body) if inputs == outputs and stride == 1 else body

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))
