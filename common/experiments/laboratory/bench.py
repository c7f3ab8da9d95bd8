"""The bench on which the studies train: which images, which recipe, what is read off at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from common.data import ImageSet
from common.training import Diverged, Recipe, evaluate, fit

if TYPE_CHECKING:
    from common.data import ImageData

HELD_OUT = 2000  # training images to choose a rate by
QUICK = 32  # images in quick mode: to train on, to choose by, to test on
SGD = Recipe(learning_rate=0.1, epochs=8, weight_decay=0.0)
SGD_WORDS = "SGD, Nesterov momentum 0.9, one-cycle, no weight decay, flips and shifts of 2 pixels"


@lru_cache(maxsize=2)  # the next run of a worker is mostly on the same images
def bench_images(
    data: ImageData, count: int = 10_000, size: int | None = None
) -> tuple[ImageData, ImageSet]:
    """The first ``count`` images to train on with held-out ones in the test images' place.

    The second result are the test images. Both are made smaller by averaging squares of pixels
    where ``size``, a divisor of theirs, is given. The same images for every run and seed.

    Raises ``ValueError`` for images that are too few (but in quick mode) or cannot be made so.
    """
    held = QUICK if data.quick else min(HELD_OUT, len(data.train) // 4)
    if not data.quick and len(data.train) < held + count:
        raise ValueError(
            f"This study trains on {count:,} images and holds {held:,} out; {data.name} has "
            f"{len(data.train):,} for training. Choose a study that takes fewer, or see how it "
            "goes with --quick."
        )
    # In an order drawn once for all: class folders come class by class.
    drawn = data.train.draw(held + min(count, QUICK if data.quick else count))
    split = replace(
        data,
        train=ImageSet(drawn.images[held:], drawn.labels[held:]),
        test=ImageSet(drawn.images[:held], drawn.labels[:held]),
    )
    test = data.test.draw(QUICK) if data.quick else data.test
    if size is not None:
        split = replace(split, train=_smaller(split.train, size), test=_smaller(split.test, size))
        test = _smaller(test, size)
    return split, test


def _smaller(images: ImageSet, size: int) -> ImageSet:
    height, width = images.images.shape[-2:]
    factor = width // size
    if height != width or width != factor * size:
        raise ValueError(
            f"This study makes the images {size}×{size} by averaging squares of pixels, which "
            f"{height}×{width} cannot become; resize them to {size} pixels, or a multiple of it."
        )
    if factor == 1:
        return images
    small = F.avg_pool2d(images.images.float(), factor).round().to(torch.uint8)
    return ImageSet(small, images.labels)


def seeded(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """A network whose initial weights are drawn from ``seed``; the random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def train(
    model: nn.Module,
    split: ImageData,
    test: ImageSet,
    recipe: Recipe,
    device: torch.device,
) -> dict[str, Any]:
    """Train, and measure accuracies in %: on ``test``, ``validation`` and ``train``ing images.

    All are of the end, without augmentation; ``gap`` is ``train`` − ``test``, and ``mean`` the mean
    over the epochs on the held-out images, which is higher the sooner it rises. A run that
    diverged is as good as chance everywhere, and has ``diverged`` 1.
    """
    chance = 100 / len(split.classes)
    try:
        history = fit(model, split, recipe, device=device, threads=1, progress="none")
    except Diverged:
        worst = dict.fromkeys(("test", "validation", "train", "mean"), chance)
        return {**worst, "gap": 0.0, "diverged": 1}
    score = evaluate(model, test, split, device=device)
    return {
        "test": score.accuracy,
        "validation": history.test_accuracy,
        "train": history.train_accuracy,
        "mean": fmean(history.column("test_accuracy")),
        "gap": history.train_accuracy - score.accuracy,
        "diverged": 0,
    }
