"""What a data set is here: images and labels as tensors, whole sets at a time."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

SPLITS = ("train", "test")

STAND_IN = "stand-in for CIFAR-10"  # in the title of shapes where CIFAR-10 was asked for


@dataclass(frozen=True)
class ImageSet:
    """Images, uint8 ``(N, 3, H, W)``, and their labels, int64 ``(N,)``."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, count: int, seed: int = 0) -> ImageSet:
        """At most ``count`` of the images, in random order: class folders come class by class."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:count]
        return ImageSet(self.images[order], self.labels[order])

    def check(self, name: str, classes: int | None = None) -> None:
        """Raise ``ValueError``, saying what is wrong, unless these are images and their labels.

        ``name`` says which they are, such as "training"; ``classes`` how many there are to be.
        """
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"The {name} images are {images.dtype} {tuple(images.shape)}; they must be "
                "torch.uint8 (N, 3, H, W), pixels from 0 to 255. The course normalises them itself."
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"The {name} labels are {labels.dtype} {tuple(labels.shape)} for {len(images)} "
                "images; they must be torch.int64, one an image."
            )
        if not len(labels):
            raise ValueError(f"There are no {name} images; give at least one.")
        if classes is None:
            return
        low, high = labels.min().item(), labels.max().item()
        if low < 0 or high >= classes:
            raise ValueError(
                f"The {name} labels go from {low} to {high}; of {classes} classes they must go "
                f"from 0 to {classes - 1}."
            )


@dataclass(frozen=True)
class ImageData:
    """A data set: training and test images, the names of the classes, and what it is called.

    ``mean`` and ``std`` are measured on the training images, per channel, with pixels in [0, 1].
    ``note`` says why this is not the data set that was asked for; it is empty if it is.
    """

    name: str
    train: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    note: str = ""
    quick: bool = False

    @property
    def title(self) -> str:
        """What figures say about the data: the name, and whether it is only a stand-in."""
        if self.quick:
            return f"{self.name} – quick mode"
        return f"{self.name} – {STAND_IN}" if self.note else self.name

    @cached_property
    def fingerprint(self) -> str:
        """Tells any two data sets apart: of all pixels, all labels and the names of the classes.

        32 hexadecimal digits; CIFAR-10 takes a third of a second, once.
        """
        digest = hashlib.sha256(repr(self.classes).encode())
        for part in (self.train, self.test):
            for tensor in (part.images, part.labels):
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()[:32]

    def check(self) -> None:
        """Raise ``ValueError``, saying what is wrong, unless a network can be trained on this."""
        for name, part in (("training", self.train), ("test", self.test)):
            part.check(name, len(self.classes))
        shapes = [tuple(part.images.shape[1:]) for part in (self.train, self.test)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"The training images are of shape {shapes[0]} and the test images of {shapes[1]}; "
                "bring both to one size."
            )
        if not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ValueError(
                f"Mean {self.mean} and deviation {self.std} must be numbers; measure them with "
                "channel_statistics(data.train.images)."
            )


def image_data(
    name: str, train: ImageSet, test: ImageSet, classes: tuple[str, ...], **more
) -> ImageData:
    """A data set, its mean and deviation measured on the training images."""
    mean, std = channel_statistics(train.images)
    return ImageData(name, train, test, tuple(classes), mean, std, **more)


def channel_statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 ``(N, C, H, W)``, on a scale of 0 to 1.

    A pixel takes one of 256 values, so counting how often each occurs gives both exactly, without
    a floating-point copy of the images.
    """
    counts = np.zeros((images.shape[1], 256))
    for chunk in images.split(1000):
        for channel, pixels in enumerate(chunk.unbind(1)):
            # NumPy's bincount, for torch's was measured to be ten times slower on bytes.
            counts[channel] += np.bincount(pixels.numpy().ravel(), minlength=256)
    share = counts / counts.sum(1, keepdims=True)
    values = np.arange(256) / 255
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(1)
    return tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())
