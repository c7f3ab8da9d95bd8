"""The networks of the course by name, built from one small set of blocks.

``build(network, norm)`` makes any of them; ``NETWORKS`` says what there is to choose from: the
course's own network, and the networks of three public repositories whose results the lessons
examine. Those are written down as tables of rows, and one builder turns a table into layers.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from common.norms import KINDS, make_norm

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


class CourseNetwork(nn.Module):
    """The network the three lessons share: inverted residual blocks, most of them at half size.

    Takes ``(N, 3, H, W)`` with ``H`` and ``W`` from 16 up and returns logits ``(N, classes)``.
    Two networks that differ in ``norm`` differ in their norm layers and in nothing else: the
    other layers have the same names, the same shapes and, under the same seed, the same values.
    49,578 parameters with ten classes and batch, group or layer norm.

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
            nn.Conv2d(3, first, 3, padding=1, bias=False),
            make_norm(norm, first, groups),
            nn.SiLU(),
            nn.Conv2d(first, channels, 3, stride=2, padding=1, bias=False),
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
            nn.Conv2d(inputs, wide, 1, bias=False),
            make_norm(norm, wide, groups),
            nn.SiLU(),
            nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False),
            make_norm(norm, wide, groups),
            nn.SiLU(),
            nn.Conv2d(wide, outputs, 1, bias=False),
            make_norm(norm, outputs, groups),
        )
        return Residual(body) if inputs == outputs and stride == 1 else body

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


# The networks of the field, as data ------------------------------------------------------------

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


def _plain(widths: tuple[int, ...], per_position: bool = False) -> Plan:
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
_WIDE = Plan(
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
_WIDE_ADAPTIVE = replace(_WIDE, rows=(*_WIDE.rows[:-1], Classify(ANY_MAP)))

# Source: github.com/woncoh1/era1a8.
_SKIP = Plan(
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


# … and the builder that turns them into layers ---------------------------------------------------


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
        layer = nn.Conv2d(self.channels, channels, kernel, stride, padding, bias=False)
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


def _field_network(
    plan: Plan, *, norm: str, classes: int, image_size: int, groups: int
) -> FieldNetwork:
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


# The registry ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """What the registry knows of one network.

    Attributes:
        description: one line for tables and help texts.
        source: where the network comes from.
        builder: called with ``norm``, ``classes``, ``image_size`` and ``groups``.
        norms: the norms it is offered with, from ``common.norms.KINDS``; its own first.
        output: ``"logits"`` or ``"log-probabilities"``.
        groups: the number of groups its GroupNorm has unless another is asked for.
        image_sizes: smallest and largest image it can be built for; ``None``: no upper limit.
        size_note: why there is an upper limit.
    """

    description: str
    source: str
    builder: Callable[..., nn.Module]
    norms: tuple[str, ...]
    output: str
    groups: int = 4
    image_sizes: tuple[int, int | None] = (SMALLEST_IMAGE, None)
    size_note: str = ""

    @property
    def default_norm(self) -> str:
        """The norm that ``build`` takes for ``norm=None``."""
        return self.norms[0]


def _course(*, norm: str, classes: int, image_size: int, groups: int) -> CourseNetwork:
    return CourseNetwork(norm, classes, groups)


def _field(
    description: str,
    source: str,
    plan: Plan,
    norms: tuple[str, ...] = ("batch", "group", "layer"),
    **more: object,
) -> Network:
    return Network(
        description=description,
        source=f"github.com/{source}",
        builder=partial(_field_network, plan),
        norms=norms,
        output="log-probabilities",
        **more,
    )


def _per_position(description: str, source: str, widths: tuple[int, ...]) -> Network:
    # For 32×32 only: at another size the norms, and with them the number of parameters that the
    # network is named after, would be others.
    return _field(
        f"plain, {description}, LayerNorm over [C, H, W]",
        source,
        _plain(widths, per_position=True),
        norms=("layer",),
        image_sizes=(32, 32),
        size_note="its LayerNorm over [C, H, W] holds a scale and a shift for every position",
    )


_PLAIN_47K = (4, 8, 4, 10, 16, 10, 16)

NETWORKS: dict[str, Network] = {
    "course": Network(
        description="the course's own, inverted residual blocks of 24 and 32 channels",
        source="this course",
        builder=_course,
        norms=KINDS,
        output="logits",
    ),
    "plain-18k": _field(
        "plain, 10 to 32 channels",
        "vmistry-repo/AI-Novice, Cifar/Batch-Norm",
        _plain((16, 32, 10, 16, 16, 10, 16)),
    ),
    "plain-47k": _per_position(
        "4 to 16 channels (its source calls it GroupNorm)",
        "vmistry-repo/AI-Novice, Cifar/Group-Norm",
        _PLAIN_47K,
    ),
    # The groups have to divide 4, 8, 10 and 16 channels: 2 is the most that all of them allow,
    # and 1 would be LayerNorm.
    "plain-11k": _field(
        "plain, the widths of plain-47k with norms that have one scale and shift a channel",
        "vmistry-repo/AI-Novice, Cifar/Group-Norm, its norm replaced by this course",
        _plain(_PLAIN_47K),
        norms=("group", "batch", "layer"),
        groups=2,
    ),
    "plain-27k": _per_position(
        "4 to 10 channels",
        "vmistry-repo/AI-Novice, Cifar/Layer-Norm",
        (4, 4, 4, 8, 8, 4, 10),
    ),
    "plain-44k": _per_position(
        "4 to 16 channels",
        "vmistry-repo/AI-Novice, Cifar/Layer-Norm",
        (4, 4, 4, 16, 16, 10, 16),
    ),
    "wide-31k": _field(
        "wide, 16 to 28 channels, no skips, averages the top left 4×4 of 7×7 cells",
        "srikanthp1/S8",
        _WIDE,
        image_sizes=(20, 35),
        size_note="its average pooling has a window of 4×4 cells that must fit the map just once",
    ),
    "wide-31k-adaptive": _field(
        "wide, 16 to 28 channels, no skips, averages all cells",
        "srikanthp1/S8, its pooling replaced by this course",
        _WIDE_ADAPTIVE,
    ),
    "skip-48k": _field(
        "residual blocks of 8 to 32 channels",
        "woncoh1/era1a8",
        _SKIP,
        groups=2,
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
    _check_whole_number("classes", classes, 2, "a classifier needs two classes")
    _check_whole_number(
        "image_size", image_size, SMALLEST_IMAGE, "smaller images vanish in the pooling"
    )
    smallest, largest = spec.image_sizes
    if image_size < smallest or (largest is not None and image_size > largest):
        allowed = f"{smallest}×{smallest}"
        if largest != smallest:
            allowed = f"sizes from {allowed} to {largest}×{largest}"
        raise ValueError(
            f"image_size is {image_size}, but network {network!r} is made for {allowed} only: "
            f"{spec.size_note}. Resize the images or choose another network, such as 'course'."
        )
    return spec.builder(
        norm=norm,
        classes=classes,
        image_size=image_size,
        groups=spec.groups if groups is None else groups,
    )


def _check_whole_number(name: str, value: int, least: int, why: str) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; give a whole number from {least} up: {why}.")


def count_parameters(module: nn.Module) -> int:
    """Number of values in a module's parameters, frozen ones included, buffers not.

    A parameter shared by several layers counts once.
    """
    return sum(parameter.numel() for parameter in module.parameters())
