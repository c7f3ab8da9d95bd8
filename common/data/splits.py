"""Parts of a data set: images held out to choose by, the first so many, a few made small."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.data.types import ImageData


def hold_out(data: ImageData, size: int = 5000, seed: int = 0) -> ImageData:
    """Split ``size`` training images off to choose by; they take the test images' place.

    The split is drawn from ``seed`` and is the same for every run. Raises ``ValueError`` if there
    are not enough images.
    """
    import torch

    from common.data.types import ImageSet

    count = len(data.train)
    if not 0 < size < count:
        raise ValueError(f"{size} images cannot be held out of {count}; choose 1 to {count - 1}.")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held, kept = order[:size], order[size:]
    images, labels = data.train.images, data.train.labels
    return replace(
        data,
        name=f"{data.name}, validation split",
        train=ImageSet(images[kept], labels[kept]),
        test=ImageSet(images[held], labels[held]),
    )


def first_images(data: ImageData, count: int) -> ImageData:
    """The same data with the first ``count`` training images; in quick mode as many as there are.

    Of images that come class by class, as folders give them, so many are drawn at random: the first
    would be of the first classes alone. Raises ``ValueError`` if there are not so many.
    """
    from common.data.types import ImageSet

    there = len(data.train)
    if data.quick:
        count = min(count, there)
    if not 0 < count <= there:
        raise ValueError(f"There are {there} images to train on, not {count}; choose 1 to {there}.")
    images, labels = data.train.images, data.train.labels
    if len(labels.unique_consecutive()) == len(labels.unique()):
        return replace(data, train=data.train.draw(count))
    return replace(data, train=ImageSet(images[:count], labels[:count]))


def small(data: ImageData, train: int = 3000, test: int = 1000, size: int = 16) -> ImageData:
    """A few of the images, shrunk to ``size`` × ``size`` pixels, to train on in seconds."""
    import torch
    from torch.nn import functional as F

    from common.data.types import ImageSet

    def shrink(images: ImageSet) -> ImageSet:
        pixels = F.interpolate(images.images.float(), size=(size, size), mode="area")
        return ImageSet(pixels.round().to(torch.uint8), images.labels)

    chosen = shrink(data.train.draw(train))
    name = f"{data.name}, {len(chosen):,} training images at {size}×{size}"
    return replace(data, name=name, train=chosen, test=shrink(data.test.draw(test)))
