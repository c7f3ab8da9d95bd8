"""The networks of the course by name, built from one small set of blocks.

``build(network, norm)`` makes any of them; ``NETWORKS`` says what there is to choose from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from common.norms import KINDS, make_norm

SMALLEST_IMAGE = 16


class Residual(nn.Sequential):
    """A skip connection: ``shortcut(x) + body(x)``, with ``x`` itself where there is no shortcut.

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
        return (x if self.shortcut is None else self.shortcut(x)) + self.body(x)


class CourseNetwork(nn.Module):
    """The network the three lessons share: a small pre-activation residual network.

    Takes ``(N, 3, H, W)`` with ``H`` and ``W`` from 16 up and returns logits ``(N, classes)``.
    Two networks that differ in ``norm`` differ in their norm layers and in nothing else: the
    other layers have the same names, the same shapes and, under the same seed, the same values.
    49,642 parameters with ten classes and batch, group or layer norm.

    Attributes:
        stem: the first 3×3 convolution, 3 → 16 channels at full size.
        stages: four residual blocks, 16, 28, 28 and 32 channels, at full, half, half and
            quarter size.
        head: norm, SiLU, average over all positions and a linear layer.

    Source of the block: He et al., "Identity mappings in deep residual networks", 2016.
    """

    STAGES = ((16, 1), (28, 2), (28, 1), (32, 2))  # channels, stride

    def __init__(self, norm: str = "batch", classes: int = 10, groups: int = 4) -> None:
        super().__init__()
        channels = self.STAGES[0][0]
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        blocks = []
        for width, stride in self.STAGES:
            blocks.append(self._block(channels, width, stride, norm, groups))
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
    def _block(inputs: int, outputs: int, stride: int, norm: str, groups: int) -> Residual:
        body = nn.Sequential(
            make_norm(norm, inputs, groups),
            nn.SiLU(),
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            make_norm(norm, outputs, groups),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        if inputs == outputs and stride == 1:
            return Residual(body)
        # Pooling rather than a strided 1×1 convolution: the shortcut then sees every position.
        # ceil_mode gives odd sizes the size that the strided 3×3 convolution gives them.
        shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
        )
        return Residual(body, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


@dataclass(frozen=True)
class Network:
    """What the registry knows of one network.

    Attributes:
        description: one line for tables and help texts.
        source: where the network comes from.
        builder: called with ``norm``, ``classes``, ``image_size`` and ``groups``.
        norms: the norms it is offered with, from ``common.norms.KINDS``.
        default_norm: the norm ``build`` takes for ``norm=None``.
        output: ``"logits"`` or ``"log-probabilities"``.
        groups: the number of groups its GroupNorm has unless another is asked for.
        image_sizes: smallest and largest image it can be built for; ``None``: no upper limit.
    """

    description: str
    source: str
    builder: Callable[..., nn.Module]
    norms: tuple[str, ...]
    default_norm: str
    output: str
    groups: int = 4
    image_sizes: tuple[int, int | None] = (SMALLEST_IMAGE, None)


def _course(*, norm: str, classes: int, image_size: int, groups: int) -> nn.Module:
    return CourseNetwork(norm, classes, groups)


NETWORKS: dict[str, Network] = {
    "course": Network(
        description="the course's own: pre-activation residual blocks, 16 to 32 channels",
        source="this course",
        builder=_course,
        norms=KINDS,
        default_norm="batch",
        output="logits",
    ),
}


def build(
    network: str = "course",
    norm: str | None = "batch",
    *,
    classes: int = 10,
    image_size: int = 32,
    groups: int | None = None,
) -> nn.Module:
    """A freshly initialised network, by name.

    Args:
        network: a key of ``NETWORKS``.
        norm: one of the norms the network is offered with; ``None`` takes its default.
        classes: number of outputs, from 2 up.
        image_size: height and width of the images, from 16 up.
        groups: number of groups of each GroupNorm, ``None`` for the network's own choice; the
            other norms ignore it, so that one call can loop over all of them.

    Returns a module that takes ``(N, 3, image_size, image_size)`` and returns ``(N, classes)``:
    logits or log-probabilities, as ``NETWORKS[network].output`` says. Seed PyTorch before the
    call to get the same weights again.

    Raises ``ValueError`` for a network, norm, size, number of classes or number of groups that
    cannot be had; the message says what can.
    """
    if network not in NETWORKS:
        raise ValueError(f"Unknown network {network!r}. Known: {', '.join(NETWORKS)}.")
    spec = NETWORKS[network]
    norm = spec.default_norm if norm is None else norm
    if norm not in spec.norms:
        raise ValueError(
            f"Network {network!r} is not offered with norm {norm!r}. "
            f"Offered: {', '.join(spec.norms)}."
        )
    if classes < 2:
        raise ValueError(f"classes is {classes}; a classifier needs at least 2.")
    if image_size < SMALLEST_IMAGE:
        raise ValueError(
            f"image_size is {image_size}; the networks take images from {SMALLEST_IMAGE} pixels up."
        )
    return spec.builder(
        norm=norm,
        classes=classes,
        image_size=image_size,
        groups=spec.groups if groups is None else groups,
    )


def count_parameters(module: nn.Module) -> int:
    """Number of values in a module's parameters, frozen ones included, buffers not.

    A parameter shared by several layers counts once.
    """
    return sum(parameter.numel() for parameter in module.parameters())
