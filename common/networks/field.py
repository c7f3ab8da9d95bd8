"""The networks of three public repositories, written down as rows, and the builder of layers."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor, nn

from common.networks.blocks import Residual, convolution
from common.norms import make_norm

WHOLE_MAP = "the whole map"
ANY_MAP = "a map of any size"


@dataclass(frozen=True)
class Block:
    """3×3 convolution, then ReLU, norm and dropout in the plan's order.

    ``skip``: the block's input is added to its output, with nothing after the sum.
    """

    channels: int
    padding: int = 1
    skip: bool = False


@dataclass(frozen=True)
class Skip:
    """Two 3×3 convolutions and a shortcut, added, then ReLU; ``down``: halves height and width.

    The shortcut is the input itself, or a bare 1×1 convolution where the shape changes.
    """

    channels: int
    down: bool = False


@dataclass(frozen=True)
class Mix:
    """A bare 1×1 convolution: mixes channels, no norm, no activation."""

    channels: int


@dataclass(frozen=True)
class Halve:
    """Max pooling, 2×2."""


@dataclass(frozen=True)
class Classify:
    """Average pooling, 1×1 convolution to one channel a class, log-softmax.

    ``window``: so many cells a side, ``WHOLE_MAP`` (as large as the map is for the image size the
    network is built for) or ``ANY_MAP`` (adapts to the map it gets). ``as_layers``: flattening and
    log-softmax are layers, which torchsummary lists; else they are functions, which it can't see.
    """

    window: int | str
    as_layers: bool = False


Row = Block | Skip | Mix | Halve | Classify


@dataclass(frozen=True)
class Plan:
    """A network as data, everything but its norm.

    Attributes:
        rows: what the image goes through, in order.
        order: what follows a 3×3 convolution: "norm", "relu" and "dropout" in some order.
        dropout: probability of dropout.
        drops_channels: whether dropout takes whole channels (``Dropout2d``) or single values.
        names: names of the rows' modules; left out, a row is called after its kind and number.
        per_position: LayerNorm over ``[C, H, W]`` with a scale and shift for every position,
            2·C·H·W parameters, instead of one pair a channel.
    """

    rows: tuple[Row, ...]
    order: tuple[str, ...] = ("relu", "norm", "dropout")
    dropout: float = 0.0
    drops_channels: bool = False
    names: tuple[str, ...] = ()
    per_position: bool = False


def plain_plan(widths: tuple[int, ...], per_position: bool = False) -> Plan:
    """The plain network: three stages of 3×3 blocks, skips as bare additions.

    Source: github.com/vmistry-repo/AI-Novice, Cifar/Batch-Norm, Group-Norm and Layer-Norm.
    """
    first, second, mixed, third, fourth, mixed_again, last = widths
    rows = (
        Block(first, padding=0),
        Block(second, padding=0),
        Mix(mixed),
        Halve(),
        Block(third),
        Block(fourth, padding=0),
        Block(fourth, skip=True),
        Mix(mixed_again),
        Halve(),
        Block(last),
        Block(last, skip=True),
        Block(last, skip=True),
        Classify(WHOLE_MAP),
    )
    return Plan(rows, dropout=0.05, per_position=per_position)


_WIDE_STAGE = (Block(20), Block(24), Block(28))
# Source: github.com/srikanthp1/S8. On its 7×7 map a window of 4 sees the top left 4×4 cells only.
WIDE = Plan(
    rows=(
        Block(16, padding=0),
        Block(20, padding=0),
        Mix(16),
        Halve(),
        *_WIDE_STAGE,
        Mix(16),
        Halve(),
        *_WIDE_STAGE,
        Classify(window=4),
    ),
    dropout=0.01,
)
WIDE_ADAPTIVE = replace(WIDE, rows=(*WIDE.rows[:-1], Classify(ANY_MAP)))
# Source: github.com/woncoh1/era1a8.
SKIP = Plan(
    rows=(
        Block(8),
        Skip(8),
        Skip(16, down=True),
        Skip(16),
        Skip(16),
        Skip(16),
        Skip(16, down=True),
        Skip(16),
        Skip(16),
        Skip(32),
        Classify(ANY_MAP, as_layers=True),
    ),
    order=("norm", "dropout", "relu"),
    drops_channels=True,
    names=(
        *("conv1", "conv2", "tran1", "conv3", "conv4", "conv5", "tran2"),
        *("conv6", "conv7", "conv8", "tran3"),
    ),
)


class LogProbabilities(nn.Sequential):
    """Its layers, then the flattened result through log-softmax: ``(N, classes)``."""

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(super().forward(x).flatten(1), dim=1)


class FieldNetwork(nn.Sequential):
    """A network built from a ``Plan``: ``(N, 3, H, W)`` in, log-probabilities ``(N, classes)`` out.

    Attributes:
        image_size: the only height and width it takes, ``None`` for any from 16 up.
    """

    def __init__(self, layers: OrderedDict[str, nn.Module], image_size: int | None = None) -> None:
        super().__init__(layers)
        self.image_size = image_size

    def forward(self, x: Tensor) -> Tensor:
        size = self.image_size
        # Without this check the average pooling would look at a corner of a larger image and
        # say nothing.
        if size is not None and tuple(x.shape[-2:]) != (size, size):
            height, width = x.shape[-2:]
            raise ValueError(
                f"This network was built for images of {size}×{size} pixels, got {height}×{width}. "
                "Resize the images, or build a network that takes any size."
            )
        return super().forward(x)


class _Builder:
    """Goes down the rows of a plan and knows the shape that has been reached."""

    def __init__(self, plan: Plan, norm: str, classes: int, image_size: int, groups: int) -> None:
        self.plan, self.norm, self.groups, self.classes = plan, norm, groups, classes
        self.channels, self.size = 3, image_size

    def layers(self, row: Row) -> nn.Module:
        match row:
            case Block(channels, padding, skip):
                block = nn.Sequential(
                    self._convolution(channels, 3, padding), *self._after(*self.plan.order)
                )
                return Residual(block) if skip else block
            case Skip(channels, down):
                return self._skip(channels, stride=2 if down else 1)
            case Mix(channels):
                return self._convolution(channels, 1)
            case Halve():
                self.size //= 2
                return nn.MaxPool2d(2)
            case Classify(window, as_layers):
                return self._classify(window, as_layers)

    def _convolution(
        self, channels: int, kernel: int, padding: int = 0, stride: int = 1
    ) -> nn.Conv2d:
        layer = convolution(
            self.norm, self.channels, channels, kernel, stride=stride, padding=padding
        )
        self.channels = channels
        self.size = (self.size + 2 * padding - kernel) // stride + 1
        return layer

    def _after(self, *kinds: str) -> list[nn.Module]:
        make = {"relu": nn.ReLU, "norm": self._norm, "dropout": self._dropout}
        return [make[kind]() for kind in kinds]

    def _norm(self) -> nn.Module:
        if self.plan.per_position:
            return nn.LayerNorm([self.channels, self.size, self.size])
        return make_norm(self.norm, self.channels, self.groups)

    def _dropout(self) -> nn.Module:
        return (nn.Dropout2d if self.plan.drops_channels else nn.Dropout)(self.plan.dropout)

    def _skip(self, channels: int, stride: int) -> nn.Module:
        inputs, changes = self.channels, stride > 1 or channels != self.channels
        body = nn.Sequential(
            self._convolution(channels, 3, 1, stride),
            *self._after(*self.plan.order),
            self._convolution(channels, 3, 1),
            *self._after(*(kind for kind in self.plan.order if kind != "relu")),
        )
        shortcut = nn.Conv2d(inputs, channels, 1, stride, bias=False) if changes else None
        return nn.Sequential(Residual(body, shortcut), nn.ReLU())

    def _classify(self, window: int | str, as_layers: bool) -> nn.Sequential:
        if window == ANY_MAP:
            pooling = nn.AdaptiveAvgPool2d(1)
        else:
            pooling = nn.AvgPool2d(self.size if window == WHOLE_MAP else window)
        convolution = nn.Conv2d(self.channels, self.classes, 1, bias=False)
        if as_layers:
            return nn.Sequential(pooling, convolution, nn.Flatten(), nn.LogSoftmax(dim=1))
        return LogProbabilities(pooling, convolution)


def field_network(
    plan: Plan, *, norm: str, classes: int, image_size: int, groups: int
) -> FieldNetwork:
    """The network that a plan describes, with this norm, for images of this size."""
    builder = _Builder(plan, norm, classes, image_size, groups)
    counts: Counter[str] = Counter()
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, row in enumerate(plan.rows):
        kind = type(row).__name__.lower()
        counts[kind] += 1
        name = plan.names[i] if plan.names else f"{kind}{counts[kind]}"
        layers[name] = builder.layers(row)
    takes_any_size = plan.rows[-1].window == ANY_MAP
    return FieldNetwork(layers, None if takes_any_size else image_size)


PLAIN_47K = (4, 8, 4, 10, 16, 10, 16)
