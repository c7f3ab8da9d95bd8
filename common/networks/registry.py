"""The networks of the course by name.

``build(network, norm)`` makes any of them; ``NETWORKS`` says what there is to choose from: the
course's own network, and the networks of three public repositories whose results the lessons
examine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from common.networks.blocks import SMALLEST_IMAGE
from common.networks.course import CourseNetwork
from common.networks.field import (
    PLAIN_47K,
    SKIP,
    WIDE,
    WIDE_ADAPTIVE,
    Plan,
    field_network,
    plain_plan,
)
from common.norms import KINDS


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
    norms: Collection[str]
    output: str
    groups: int = 4
    image_sizes: tuple[int, int | None] = (SMALLEST_IMAGE, None)
    size_note: str = ""

    @property
    def default_norm(self) -> str:
        """The norm that ``build`` takes for ``norm=None``."""
        return next(iter(self.norms))


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
        builder=partial(field_network, plan),
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
        plain_plan(widths, per_position=True),
        norms=("layer",),
        image_sizes=(32, 32),
        size_note="its LayerNorm over [C, H, W] holds a scale and a shift for every position",
    )


NETWORKS: dict[str, Network] = {
    "course": Network(
        description="the course's own, inverted residual blocks of 24 and 32 channels",
        source="this course",
        builder=_course,
        norms=KINDS,  # itself, so that a norm added to it is offered at once
        output="logits",
    ),
    "plain-18k": _field(
        "plain, 10 to 32 channels",
        "vmistry-repo/AI-Novice, Cifar/Batch-Norm",
        plain_plan((16, 32, 10, 16, 16, 10, 16)),
    ),
    "plain-47k": _per_position(
        "4 to 16 channels (its source calls it GroupNorm)",
        "vmistry-repo/AI-Novice, Cifar/Group-Norm",
        PLAIN_47K,
    ),
    # The groups have to divide 4, 8, 10 and 16 channels: 2 is the most that all of them allow,
    # and 1 would be LayerNorm.
    "plain-11k": _field(
        "plain, the widths of plain-47k with norms that have one scale and shift a channel",
        "vmistry-repo/AI-Novice, Cifar/Group-Norm, its norm replaced by this course",
        plain_plan(PLAIN_47K),
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
        WIDE,
        image_sizes=(20, 35),
        size_note="its average pooling has a window of 4×4 cells that must fit the map just once",
    ),
    "wide-31k-adaptive": _field(
        "wide, 16 to 28 channels, no skips, averages all cells",
        "srikanthp1/S8, its pooling replaced by this course",
        WIDE_ADAPTIVE,
    ),
    "skip-48k": _field(
        "residual blocks of 8 to 32 channels",
        "woncoh1/era1a8",
        SKIP,
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


def builder(networks: Mapping[str, str]) -> Callable[..., nn.Module]:
    """``build`` for one lesson: its networks, each with the norm that it is built with there.

    A network that ``networks`` does not name gets the norm of the first one that it does.
    """
    own = next(iter(networks.values()))

    def build_here(
        network: str = "course", norm: str | None = None, **options: int | None
    ) -> nn.Module:
        """A network of this lesson, ``(N, 3, H, W)`` to ``(N, classes)``, freshly initialised.

        ``norm=None`` takes the norm that the lesson's ``NETWORKS`` names; ``options``
        (``classes``, ``image_size``, ``groups``) and the errors raised are those of
        ``common.networks.build``.
        """
        return build(network, norm or networks.get(network, own), **options)

    return build_here


def _check_whole_number(name: str, value: int, least: int, why: str) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; give a whole number from {least} up: {why}.")


def count_parameters(module: nn.Module) -> int:
    """Number of values in a module's parameters, frozen ones included, buffers not.

    A parameter shared by several layers counts once.
    """
    return sum(parameter.numel() for parameter in module.parameters())
