"""What it costs to have had the training images compressed: the experiment behind one sentence.

A figure measured on images that were stored as JPEG cannot be set beside one measured on the
originals without knowing what the compression does. ``compress`` does it once more, and
``python -m common field --jpeg 75`` trains on the result.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from common.data.types import ImageData

QUALITIES = range(1, 96)  # above 95 JPEG's own scale means nothing


def check_quality(quality: int) -> int:
    """The quality itself. Raises ``ValueError`` if JPEG knows no such one."""
    if quality not in QUALITIES:
        raise ValueError(
            f"JPEG has no quality {quality}; choose {QUALITIES[0]} (worst) to {QUALITIES[-1]}."
        )
    return quality


def compress(data: ImageData, quality: int) -> ImageData:
    """The data set as it comes back from JPEG files of this quality, with half the colour detail.

    JPEG rounds the frequencies of squares of 8 × 8 pixels. Images that were JPEGs before would come
    through unchanged if the squares were the same again; the edges are therefore widened by half a
    square before, and cut off after. Mean and deviation are those of the new images.

    Raises ``ValueError`` for a quality outside 1 to 95.
    """
    from common.data.types import ImageSet, channel_statistics

    check_quality(quality)
    train, test = (
        ImageSet(_through_jpeg(part.images, quality), part.labels)
        for part in (data.train, data.test)
    )
    mean, std = channel_statistics(train.images)
    name = f"{data.name}, stored as JPEG {quality}"
    return replace(data, name=name, train=train, test=test, mean=mean, std=std)


def _through_jpeg(images: torch.Tensor, quality: int) -> torch.Tensor:
    """uint8 ``(N, 3, H, W)`` to JPEG and back."""
    from PIL import Image

    edge = 4
    height, width = images.shape[2:]
    result = torch.empty_like(images)
    for number, image in enumerate(images):
        wide = np.pad(image.permute(1, 2, 0).numpy(), ((edge, edge), (edge, edge), (0, 0)), "edge")
        file = io.BytesIO()
        Image.fromarray(wide).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        back = np.array(Image.open(file))[edge : edge + height, edge : edge + width]
        result[number] = torch.from_numpy(back).permute(2, 0, 1)
    return result


def describe(data: ImageData, quality: int) -> str:
    """What ``compress`` does to the training pixels, in a line."""
    new = compress(data, quality)
    pairs = zip(data.train.images.split(1000), new.train.images.split(1000), strict=True)
    squares = sum((a.double() - b.double()).square().sum().item() for a, b in pairs)
    change = (squares / data.train.images.numel()) ** 0.5
    before, after = (", ".join(f"{value:.4f}" for value in d.std) for d in (data, new))
    return (
        f"Stored as JPEG {quality}, the pixels of {data.title} change by {change:.1f} of 255 (root "
        f"mean square); standard deviation of the channels {before} → {after}."
    )
