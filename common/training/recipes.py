"""How a network is trained, as data; and the course's recipe, the same for every norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from common.networks import SMALLEST_IMAGE
from common.training.optimisers import (
    OPTIMISERS,
    SCHEDULES,
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a network is trained, apart from the images and the network.

    Attributes:
        optimiser: ``sgd``, ``adam``, ``adamw`` or ``muon``.
        learning_rate: its highest value during the run.
        schedule: ``one-cycle``, ``one-cycle-cosine``, ``cosine``, ``constant`` or ``plateau`` (see
            ``optimisers``).
        warmup: share of the run over which the learning rate rises, from 0 to below 1.
        patience: with ``plateau``, epochs without a lower training loss that are put up with
            before the learning rate is divided by ten.
        epochs: passes over the training images.
        batch_size: images a step.
        momentum: of ``sgd`` and ``muon``.
        nesterov: whether the momentum of ``sgd`` is Nesterov's.
        weight_decay: on weights of two dimensions or more (``adam``: on all parameters; ``muon``:
            on those that Muon itself trains).
        label_smoothing: share of the target spread evenly over all classes, from 0 to below 1.
        shift: largest random shift, in pixels, of the training images (edges are reflected).
        flip: whether half the training images are mirrored.
        alternating: whether chance decides only in the first epoch which half that is, and each
            image is mirrored in every other epoch from then on (Jordan, "94 % on CIFAR-10 in 3.29
            seconds on a single GPU", 2024).
        sizes: of the training images in the first epochs, one number an epoch: the shorter side in
            pixels, from 16 up. In all later epochs, of which there is at least one, they are as
            large as the data set has them. Small images take less time, and the first epochs
            learn nearly as much from them.
        augmentation: ``basic`` (shift and flip) or ``randaugment`` (both, and RandAugment, Cubuk
            et al., 2020, image by image: slow).
        average: smoothing of the weights (exponential moving average) over the last quarter of
            the run; 0 is off, 0.999 averages over about 1,000 steps.
        side_learning_rate: with ``muon``, of the parameters that AdamW trains.
        seed: of the initial weights, the order of the images, their augmentation and dropout.

    Raises ``ValueError`` naming the attribute that is out of range.
    """

    optimiser: str = "sgd"
    learning_rate: float = 0.2
    schedule: str = "one-cycle"
    warmup: float = 0.2
    patience: int = 10
    epochs: int = 20
    batch_size: int = 128
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 3e-4
    label_smoothing: float = 0.0
    shift: int = 2
    flip: bool = True
    alternating: bool = False
    sizes: tuple[int, ...] = ()
    augmentation: str = "basic"
    average: float = 0.0
    side_learning_rate: float = 3e-3
    seed: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.sizes, list):  # as JSON has them
            object.__setattr__(self, "sizes", tuple(self.sizes))
        allowed = {"optimiser": OPTIMISERS, "schedule": SCHEDULES}
        allowed["augmentation"] = ("basic", "randaugment")
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                given = getattr(self, name)
                raise ValueError(f"Unknown {name} {given!r}; choose one of {', '.join(values)}.")
        bounds: list[tuple[str, Callable[[Any], bool], str]] = [
            ("learning_rate", lambda v: 0 < v < math.inf, "above 0 and finite"),
            ("side_learning_rate", lambda v: 0 < v < math.inf, "above 0 and finite"),
            ("warmup", lambda v: 0 <= v < 1, "from 0 to below 1"),
            ("patience", lambda v: v >= 0, "0 or more"),
            ("epochs", lambda v: v >= 1, "1 or more"),
            ("batch_size", lambda v: v >= 1, "1 or more"),
            ("momentum", lambda v: 0 <= v < 1, "from 0 to below 1"),
            ("weight_decay", lambda v: v >= 0, "0 or more"),
            ("label_smoothing", lambda v: 0 <= v < 1, "from 0 to below 1"),
            ("average", lambda v: 0 <= v < 1, "from 0 to below 1"),
            ("seed", lambda v: 0 <= v < 2**63, "from 0 to below 2⁶³"),
            ("alternating", lambda v: self.flip or not v, "off where flip is"),
            ("sizes", _are_sizes, f"a tuple of whole numbers from {SMALLEST_IMAGE} up"),
            (
                "sizes",
                lambda v: len(v) < self.epochs,
                f"shorter than the {self.epochs} epochs, for the last one shows the images in full",
            ),
        ]
        for name, is_fine, words in bounds:
            if not is_fine(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {words}.")

    @property
    def stackable(self) -> bool:
        """Whether networks that share the recipe can be trained as one (``together.py``).

        Not where one network's own loss decides (``plateau``), nor with ``randaugment``, which
        draws from one source of chance for all.
        """
        return self.schedule != "plateau" and self.augmentation != "randaugment"

    def size(self, epoch: int) -> int | None:
        """The shorter side of the training images in this epoch, from 1; None: as they are."""
        return self.sizes[epoch - 1] if epoch <= len(self.sizes) else None

    def pixel_shares(self, full: int) -> list[float]:
        """For each epoch, how many of the pixels are there of images with shorter side ``full``."""
        sizes = (self.size(epoch) or full for epoch in range(1, self.epochs + 1))
        return [(min(size, full) / full) ** 2 for size in sizes]

    def in_force(self) -> dict[str, Any]:
        """What is on and plays a part: nothing that is off, or only read by another optimiser."""
        idle = {
            "nesterov": self.optimiser != "sgd",
            "momentum": self.optimiser not in {"sgd", "muon"},
            "side_learning_rate": self.optimiser != "muon",
            "warmup": not self.schedule.startswith("one-cycle"),
            "patience": self.schedule != "plateau",
            "augmentation": self.augmentation == "basic",
        }
        return {n: v for n, v in vars(self).items() if not idle.get(n) and v not in (0, False, ())}

    def shortened(self) -> Recipe:
        """The same recipe for quick mode: two epochs, the last in full, and small batches."""
        epochs = min(self.epochs, 2)
        return replace(
            self,
            epochs=epochs,
            batch_size=min(self.batch_size, 32),
            sizes=self.sizes[: epochs - 1],
        )


def _are_sizes(values: Any) -> bool:
    return isinstance(values, tuple) and all(
        isinstance(v, int) and v >= SMALLEST_IMAGE for v in values
    )


# Chosen on a validation split of the training images with batch norm, then given to all three.
SHARED = Recipe(
    optimiser="muon",
    learning_rate=0.02,
    momentum=0.95,
    side_learning_rate=3e-3,
    weight_decay=0.0,
    schedule="one-cycle",
    warmup=0.2,
    epochs=20,
    batch_size=128,
    shift=2,
)
# Each norm's best learning rate among the same three on the same split: results/search.csv.
OWN_RATES = {"batch": 0.04, "group": 0.04, "layer": 0.02}


# The race: past 70 % with every norm, as soon as can safely be done. Small batches, for in so few
# epochs steps are what is scarce, and the first epochs on images that take a fraction of the time.
# What was tried on the same split, and how far that got: results/race-search.csv.
RACE = replace(SHARED, epochs=3, batch_size=64, learning_rate=0.03, sizes=(16, 24))
TARGET = 70.0  # % of the test images: what the course sets itself, and the race stops at


def race_recipe(seed: int = 1, **changes: float | None) -> Recipe:
    """The recipe of the race to ``TARGET``, one for all norms; ``changes`` as in ``course_recipe``.

    Raises ``ValueError`` for a change out of range.
    """
    wanted = {name: value for name, value in changes.items() if value is not None}
    return replace(RACE, **{"seed": seed, **wanted})


def course_recipe(
    norm: str, seed: int = 1, *, tuned: bool = False, **changes: float | None
) -> Recipe:
    """The course's recipe for a norm, ``batch``, ``group``, ``layer`` or ``none``.

    The same for all of them, or, ``tuned``, with the norm's own best learning rate (``none`` has
    the shared one). ``changes`` are fields of the recipe; None leaves one as it is. Raises
    ``ValueError`` for an unknown norm or a change out of range.
    """
    from common.norms import KINDS

    if norm not in KINDS:
        raise ValueError(f"Unknown norm {norm!r}; choose one of {', '.join(KINDS)}.")
    rate = OWN_RATES.get(norm, SHARED.learning_rate) if tuned else SHARED.learning_rate
    wanted = {name: value for name, value in changes.items() if value is not None}
    return replace(SHARED, **{"learning_rate": rate, "seed": seed, **wanted})
