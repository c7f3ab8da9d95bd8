"""Candidates for the course's network, as data: the search trains them (``common.experiments``).

A candidate is built from one of five kinds of block, each with a function here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.networks.blocks import Residual, convolution
from common.norms import make_norm

ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU}


class Stage(NamedTuple):
    """So many blocks of so many channels, the first of them with this stride.

    ``expansion`` and ``kernel`` are the candidate's where they are None.
    """

    channels: int
    blocks: int
    stride: int = 1
    expansion: int | None = None
    kernel: int | None = None


@dataclass(frozen=True)
class Candidate:
    """A network as data.

    Attributes:
        block: a key of ``BLOCKS``.
        stages: what follows the stem.
        stem: channels of a 3×3 convolution at full size and, where there is a second number, of
            one more at half size.
        expansion: how many times wider a block is inside than outside (not ``pre-activation``).
        kernel: height and width of the kernel that looks around, an odd number.
        activation: a key of ``ACTIVATIONS``.
        squeeze: hidden channels of a squeeze-and-excite step in each block; 0: there is none.
        head: channels of a 1×1 convolution before the pooling, for the classifier to see more than
            the blocks hand on; 0: there is none.
        pooling: what the classifier sees of each channel: a key of ``POOLINGS``.
        still: whether the last γ of each residual branch starts at 0, so that at the start the
            network is only as deep as its skip connections leave it (Goyal et al., "Accurate,
            large minibatch SGD", 2017). Only ``inverted`` blocks end in a norm.

    Raises ``ValueError`` naming the attribute that is out of range.
    """

    block: str
    stages: tuple[Stage, ...]
    stem: tuple[int, ...] = (16,)
    expansion: int = 4
    kernel: int = 3
    activation: str = "silu"
    squeeze: int = 0
    head: int = 0
    pooling: str = "average"
    still: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("block", BLOCKS),
            ("activation", ACTIVATIONS),
            ("pooling", POOLINGS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"Unknown {name} {getattr(self, name)!r}; choose one of {', '.join(known)}."
                )
        for name, is_fine, words in (
            ("stages", len(self.stages) > 0, "one stage or more"),
            ("stem", len(self.stem) in (1, 2), "one width or two"),
            ("expansion", self.expansion >= 1, "1 or more"),
            ("kernel", self.kernel > 0 and self.kernel % 2 == 1, "an odd number"),
            ("squeeze", self.squeeze >= 0, "0 or more"),
            ("head", self.head >= 0, "0 or more"),
            (
                "squeeze",
                not self.squeeze or self.block not in WITHOUT_SQUEEZE,
                f"0 with {self.block} blocks, which have no place for it",
            ),
            ("still", not self.still or self.block == "inverted", "False but in inverted blocks"),
        ):
            if not is_fine:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {words}.")

    @property
    def shape(self) -> str:
        """The network in one line; ``/2`` marks where height and width are halved."""
        full, *half = self.stem
        steps = [f"{full}", *(f"{width}/2" for width in half)]
        for stage in self.stages:
            halved = f"/{stage.stride}" if stage.stride > 1 else ""
            steps.append(f"{stage.blocks}×{stage.channels}{halved}")
        return " → ".join(steps)

    def build(
        self, *, norm: str, classes: int = 10, image_size: int = 32, groups: int = 4
    ) -> CandidateNetwork:
        """The network, freshly initialised; any ``image_size`` from 16 up is the same to it."""
        return CandidateNetwork(self, norm, classes, groups)


class CandidateNetwork(nn.Module):
    """A candidate's layers: ``(N, 3, H, W)`` in, logits ``(N, classes)`` out.

    Attributes:
        stem, stages: as the candidate has them.
        head: norm, activation, pooling over all positions and a linear layer, after a 1×1
            convolution where the candidate has one.
    """

    def __init__(
        self, candidate: Candidate, norm: str = "batch", classes: int = 10, groups: int = 4
    ) -> None:
        super().__init__()
        parts = _Parts(candidate, norm, groups)
        self.stem = parts.stem()
        channels, blocks = candidate.stem[-1], []
        for stage in candidate.stages:
            own = parts.of(stage)
            for i in range(stage.blocks):
                stride = 1 if i else stage.stride
                blocks.append(BLOCKS[candidate.block](own, channels, stage.channels, stride))
                channels = stage.channels
        self.stages = nn.Sequential(*blocks)
        pool, seen = POOLINGS[candidate.pooling]
        wider = [parts.convolution(channels, candidate.head)] if candidate.head else []
        channels = candidate.head or channels
        self.head = nn.Sequential(
            *wider,
            parts.norm(channels),
            parts.activation(),
            pool(),
            nn.Flatten(),
            nn.Linear(seen * channels, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


class SqueezeExcite(nn.Module):
    """Scales each channel by what the averages of all channels say: ``(N, C, H, W)``, same out.

    Source: Hu et al., "Squeeze-and-excitation networks", 2018.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.SiLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x)


class Gate(nn.Module):
    """``body(a) * activation(b)``, a and b the halves of the channels: ``(N, 2C, H, W)`` to C.

    Sources: Dauphin et al., "Language modeling with gated convolutional networks", 2017; Shazeer,
    "GLU variants improve Transformer", 2020, for other activations than the sigmoid.
    """

    def __init__(self, body: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1)
        return self.body(a) * self.activation(b)


class MeanAndMax(nn.Module):
    """Each channel's mean and its maximum over all positions: ``(N, C, H, W)`` to ``(N, 2C)``."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


@dataclass(frozen=True)
class _Parts:
    """What the blocks of one candidate are put together from."""

    candidate: Candidate
    norm_kind: str
    groups: int

    def of(self, stage: Stage) -> _Parts:
        own = {
            "expansion": stage.expansion or self.candidate.expansion,
            "kernel": stage.kernel or self.candidate.kernel,
        }
        return replace(self, candidate=replace(self.candidate, **own))

    def norm(self, channels: int) -> nn.Module:
        return make_norm(self.norm_kind, channels, self.groups)

    def activation(self) -> nn.Module:
        return ACTIVATIONS[self.candidate.activation]()

    def convolution(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, **more: int
    ) -> nn.Conv2d:
        return convolution(self.norm_kind, inputs, outputs, kernel, stride=stride, **more)

    def looks_around(
        self, inputs: int, outputs: int, stride: int = 1, depthwise: bool = False
    ) -> nn.Conv2d:
        kernel, groups = self.candidate.kernel, inputs if depthwise else 1
        return self.convolution(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups)

    def squeeze(self, channels: int) -> list[nn.Module]:
        hidden = self.candidate.squeeze
        return [SqueezeExcite(channels, hidden)] if hidden else []

    def wide(self, channels: int) -> int:
        return self.candidate.expansion * channels

    def stem(self) -> nn.Sequential:
        first, *second = self.candidate.stem
        layers = [self.convolution(3, first, 3, padding=1)]
        for width in second:
            layers += [self.norm(first), self.activation()]
            layers.append(self.convolution(first, width, 3, stride=2, padding=1))
        if self.candidate.block == "inverted":  # the others begin with a norm of their own
            layers.append(self.norm(self.candidate.stem[-1]))
            if not second:
                layers.append(self.activation())
        return nn.Sequential(*layers)


def _pooled_shortcut(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module | None:
    """What takes a block's input to the shape of its output; None where that is the same."""
    layers = [nn.AvgPool2d(stride)] if stride > 1 else []
    if inputs != outputs:
        layers.append(parts.convolution(inputs, outputs))
    return nn.Sequential(*layers) if layers else None


def _pre_activation(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Norm and activation before each of two full convolutions.

    Source: He et al., "Identity mappings in deep residual networks", 2016.
    """
    body = nn.Sequential(
        parts.norm(inputs),
        parts.activation(),
        parts.looks_around(inputs, outputs, stride),
        parts.norm(outputs),
        parts.activation(),
        parts.looks_around(outputs, outputs),
    )
    return Residual(body, _pooled_shortcut(parts, inputs, outputs, stride))


def _inverted(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Widen, look around channel by channel, narrow again, each with its norm.

    Source: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018.
    """
    wide = parts.wide(inputs)
    body = nn.Sequential(
        parts.convolution(inputs, wide),
        parts.norm(wide),
        parts.activation(),
        parts.looks_around(wide, wide, stride, depthwise=True),
        parts.norm(wide),
        parts.activation(),
        *parts.squeeze(wide),
        parts.convolution(wide, outputs),
        parts.norm(outputs),
    )
    if inputs != outputs or stride > 1:
        return body
    if parts.candidate.still and getattr(body[-1], "weight", None) is not None:
        nn.init.zeros_(body[-1].weight)
    return Residual(body)


def _one_wide_norm(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """The inverted block with its input normed, and one norm inside instead of three.

    Norms and activations of wide maps take much of an inverted block's time; this one has half.
    """
    wide = parts.wide(outputs)
    body = nn.Sequential(
        parts.norm(inputs),
        parts.convolution(inputs, wide),
        parts.looks_around(wide, wide, stride, depthwise=True),
        parts.norm(wide),
        parts.activation(),
        *parts.squeeze(wide),
        parts.convolution(wide, outputs),
    )
    return Residual(body, _pooled_shortcut(parts, inputs, outputs, stride))


def _convnext(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Look around channel by channel first, then widen and narrow, with one norm in all.

    Source: Liu et al., "A ConvNet for the 2020s", 2022, whose layer norm is over the channels of
    each position; here it is the norm under study.
    """
    wide = parts.wide(outputs)
    block = Residual(
        nn.Sequential(
            parts.looks_around(outputs, outputs, depthwise=True),
            parts.norm(outputs),
            parts.convolution(outputs, wide),
            parts.activation(),
            *parts.squeeze(wide),
            parts.convolution(wide, outputs),
        )
    )
    if inputs == outputs and stride == 1:
        return block
    return nn.Sequential(
        parts.norm(inputs), parts.convolution(inputs, outputs, stride, stride), block
    )


def _gated(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Widen to twice the width, look around in one half and let the other half gate it."""
    wide = parts.wide(outputs)
    looks_around = nn.Sequential(
        parts.looks_around(wide, wide, depthwise=True),
        parts.norm(wide),
    )
    block = Residual(
        nn.Sequential(
            parts.norm(outputs),
            parts.convolution(outputs, 2 * wide),
            Gate(looks_around, parts.activation()),
            parts.convolution(wide, outputs),
        )
    )
    if inputs == outputs and stride == 1:
        return block
    return nn.Sequential(parts.convolution(inputs, outputs, stride, stride), block)


BLOCKS = {
    "pre-activation": _pre_activation,
    "inverted": _inverted,
    "one-wide-norm": _one_wide_norm,
    "convnext": _convnext,
    "gated": _gated,
}
# What makes the pooling, and how many numbers a channel it leaves.
POOLINGS = {"average": (partial(nn.AdaptiveAvgPool2d, 1), 1), "mean-and-max": (MeanAndMax, 2)}
WITHOUT_SQUEEZE = ("pre-activation", "gated")
_HALF_SIZE = (Stage(24, 5), Stage(32, 2, 2))
_LATE_HALVING = (Stage(24, 4, 2), Stage(32, 3, 2))
_LARGE_KERNELS = (Stage(24, 4, 2), Stage(32, 1, 2, kernel=5), Stage(32, 2, expansion=3, kernel=5))
CANDIDATES = {
    "pre-activation": Candidate("pre-activation", (Stage(16, 1), Stage(28, 2, 2), Stage(32, 1, 2))),
    "inverted": Candidate("inverted", _LATE_HALVING),
    "inverted-stem-16": Candidate("inverted", _HALF_SIZE, stem=(16, 24)),
    "inverted-stem-12": Candidate("inverted", _HALF_SIZE, stem=(12, 24)),
    "one-wide-norm": Candidate("one-wide-norm", _HALF_SIZE, stem=(16, 24)),
    "convnext": Candidate("convnext", (Stage(32, 4, 2), Stage(32, 1, 2)), kernel=5),
    "convnext-stem": Candidate(
        "convnext", (Stage(32, 4), Stage(36, 1, 2)), stem=(16, 32), kernel=5
    ),
    "gated": Candidate("gated", _HALF_SIZE, stem=(16, 24), expansion=2, kernel=5),
    # The second search, from the course's network and from the candidate that had led the first.
    "inverted-mean-and-max": Candidate("inverted", _LATE_HALVING, pooling="mean-and-max"),
    "inverted-still": Candidate("inverted", _LATE_HALVING, still=True),
    "inverted-squeeze": Candidate(
        "inverted", (Stage(24, 4, 2), Stage(32, 1, 2), Stage(32, 2, expansion=3)), squeeze=4
    ),
    "inverted-kernel-5": Candidate(
        "inverted", (Stage(24, 4, 2), Stage(32, 1, 2), Stage(32, 2, expansion=3, kernel=5))
    ),
    "inverted-kernel-5-quarter": Candidate("inverted", _LARGE_KERNELS),
    "inverted-kernel-5-pooled": Candidate("inverted", _LARGE_KERNELS, pooling="mean-and-max"),
    "inverted-kernel-5-everywhere": Candidate("inverted", _LATE_HALVING, kernel=5, expansion=3),
    "inverted-kernel-5-everywhere-4": Candidate(
        "inverted",
        (Stage(24, 4, 2), Stage(32, 2, 2), Stage(32, 1, expansion=4)),
        kernel=5,
        expansion=3,
    ),
    "inverted-kernel-5-late": Candidate(
        "inverted", (Stage(24, 3, 2), Stage(32, 4, 2)), kernel=5, expansion=3
    ),
    "inverted-kernel-5-40": Candidate(
        "inverted", (Stage(24, 5, 2), Stage(40, 3, 2, expansion=2)), kernel=5, expansion=3
    ),
    "inverted-kernel-5-head": Candidate(
        "inverted",
        (Stage(24, 4, 2), Stage(32, 1, 2, kernel=5), Stage(32, 1, kernel=5)),
        head=160,
    ),
    "inverted-kernel-5-squeeze": Candidate(
        "inverted",
        (Stage(24, 4, 2), Stage(32, 1, 2, kernel=5), Stage(32, 1, kernel=5)),
        squeeze=4,
    ),
    "course-half-6": Candidate("inverted", (Stage(24, 6), Stage(32, 1, 2)), stem=(16, 24)),
}
