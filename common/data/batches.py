"""Augmented batches cut from tensors that stay on the training device.

The whole training set is one uint8 tensor. A batch is one indexing operation: a table says which
row and which column of the picture each pixel of a shifted and perhaps mirrored copy comes from,
so the reflected edges cost no padded copy of the data. No image is touched by Python on its own
and no worker process is needed; ``python -m common benchmark`` compares this with a
``DataLoader``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from common.data.types import ImageSet


class Normaliser:
    """Turns uint8 images into float ones: ``(x / 255 - mean) / std`` for each channel.

    ``mean`` and ``std`` have one value a channel, in the unit of images in ``[0, 1]``.
    """

    def __init__(
        self, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
    ) -> None:
        shape = (1, len(mean), 1, 1)
        # A constant channel has no spread to divide by; leave it centred.
        safe = [value if value > 0 else 1.0 for value in std]
        self.shift = torch.tensor(mean, device=device).view(shape) * 255
        self.scale = 1 / (torch.tensor(safe, device=device).view(shape) * 255)
        # On CPUs the convolutions and all three norms are faster on channels_last tensors.
        self.layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``(N, C, H, W)`` to normalised float32 of the same shape."""
        return images.float().sub(self.shift).mul(self.scale).contiguous(memory_format=self.layout)


def resized(images: torch.Tensor, size: int | None) -> torch.Tensor:
    """Float images ``(N, C, H, W)`` with their shorter side brought down to ``size`` pixels.

    Bilinear and without aliasing: a new pixel is a weighted mean of the old ones it covers. Images
    that are no larger, and all where ``size`` is None, are returned as they are.
    """
    height, width = images.shape[-2:]
    shorter = min(height, width)
    if size is None or size >= shorter:
        return images
    # What a column of pixels becomes is linear in it, so the whole is two matrix products; these
    # are faster than interpolating each batch, and every device has them.
    rows, columns = (
        F.interpolate(torch.eye(old)[None, None], (new, old), mode="bilinear", antialias=True)[0, 0]
        for old, new in ((n, round(n * size / shorter)) for n in (height, width))
    )
    smaller = rows.to(images.device) @ images @ columns.T.to(images.device)
    if images.is_contiguous(memory_format=torch.channels_last):
        smaller = smaller.contiguous(memory_format=torch.channels_last)
    return smaller


class Batches:
    """Shuffled, augmented training batches, ``(x, y)`` with x float32 ``(N, C, H, W)``.

    A last batch that would be smaller than the others is left out, so that each step averages
    over the same number of images. Every random choice of an epoch is drawn at once, on the CPU,
    so a seed gives the same images on every device.

    With ``flip`` an image is mirrored or not by chance, anew in each epoch. With ``alternating``
    chance decides once, for the first epoch; from then on the image is mirrored in every other one,
    so that no two epochs in a row show it the same way round (Jordan, 2024).

    Raises ``ValueError`` for images that are no uint8 ``(N, 3, H, W)``, if there are fewer than one
    batch needs, or if the shift is negative or not smaller than the images.
    """

    def __init__(
        self,
        images: ImageSet,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        batch_size: int,
        shift: int = 2,
        flip: bool = True,
        alternating: bool = False,
        randaugment: bool = False,
        device: torch.device | None = None,
    ) -> None:
        device = device or torch.device("cpu")
        images.check("training")
        count, _, height, width = images.images.shape
        if batch_size not in range(1, count + 1):
            raise ValueError(
                f"A batch of {batch_size} images cannot be cut from {count} training images; "
                f"choose a batch size from 1 to {count}."
            )
        if shift not in range(min(height, width)):
            raise ValueError(
                f"A shift of {shift} pixels does not suit images of {height}×{width}; "
                f"choose 0 to {min(height, width) - 1}."
            )
        self.batch_size, self.shift, self.device = batch_size, shift, device
        self.flip, self.alternating = flip, alternating
        self.labels = images.labels.to(device)
        self.images = images.images.to(device)
        # One line for each possible shift: the row (column) that every row (column) is taken from.
        self.rows = _reflected(height, shift).unfold(0, height, 1).to(device)
        self.columns = _reflected(width, shift).unfold(0, width, 1).to(device)
        self.normalise = Normaliser(mean, std, device)
        self.randaugment = None
        if randaugment:
            # The one augmentation here that goes image by image, for the recipes that used it.
            from torchvision.transforms import RandAugment

            self.randaugment = RandAugment()

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.labels) // self.batch_size

    def epoch(
        self, generator: torch.Generator, number: int = 1, size: int | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One pass over the images; ``generator`` is a CPU generator.

        ``number`` counts the epochs from 1, for ``alternating``; the images are ``resized`` to
        ``size`` at the very end.
        """
        for x, y in self.together([generator], number, size):
            yield x[0], y[0]

    def together(
        self, generators: Sequence[torch.Generator], number: int = 1, size: int | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """K passes at once, each as its own generator draws it: x ``(K, N, C, H, W)``."""
        order, down, right, mirrored = (
            torch.stack(draws).to(self.device)
            for draws in zip(*(self._draw(g, number) for g in generators), strict=True)
        )
        shape = len(generators), self.batch_size
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            now = slice(start, start + self.batch_size)
            index = order[:, now].flatten()
            chosen = (draws[:, now].flatten() for draws in (down, right, mirrored))
            x = resized(self.normalise(self.augment(index, *chosen)), size)
            yield x.unflatten(0, shape), self.labels[index].view(shape)

    def _draw(self, generator: torch.Generator, number: int) -> tuple[torch.Tensor, ...]:
        """Every random choice of an epoch: the images' order, and each one's shift and flip."""
        count = len(self.labels)
        offsets = torch.randint(2 * self.shift + 1, (2, count), generator=generator)
        mirrored = torch.rand(count, generator=generator) < (0.5 if self.flip else 0.0)
        order = torch.randperm(count, generator=generator)
        if self.flip and self.alternating:
            # From a source of its own, which any epoch can ask again: nothing has to be kept.
            first = torch.Generator().manual_seed(generator.initial_seed() + 1_000_003)
            of_images = (torch.rand(count, generator=first) < 0.5) ^ (number % 2 == 0)
            mirrored = of_images[order]
        return order, *offsets, mirrored

    def first(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch like any other, but not augmented: to try something out, always the same one.

        Drawn from all images: those of a folder come class by class.
        """
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(0))
        now = order[: self.batch_size].to(self.images.device)
        return self.normalise(self.images[now]), self.labels[now]

    def augment(
        self,
        index: torch.Tensor,
        down: torch.Tensor,
        right: torch.Tensor,
        mirrored: torch.Tensor,
    ) -> torch.Tensor:
        """The uint8 images ``index``, shifted to ``(down, right)`` and flipped where asked."""
        rows, columns = self.rows[down], self.columns[right]
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        x = self.images[index]
        width = x.shape[3]
        pixels = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)[:, None]
        x = x.flatten(2).gather(2, pixels.expand(-1, x.shape[1], -1)).view_as(x)
        if self.randaugment:
            x = torch.stack([self.randaugment(image) for image in x])
        return x

    def examples(self, index: int, copies: int, seed: int = 0) -> torch.Tensor:
        """``copies`` augmented versions of one training image, uint8 ``(copies, C, H, W)``."""
        generator = torch.Generator().manual_seed(seed)
        offsets = torch.randint(2 * self.shift + 1, (2, copies), generator=generator)
        mirrored = torch.rand(copies, generator=generator) < (0.5 if self.flip else 0.0)
        (down, right), mirrored = offsets.to(self.device), mirrored.to(self.device)
        same = torch.full((copies,), index, device=self.device)
        return self.augment(same, down, right, mirrored)


def _reflected(size: int, shift: int) -> torch.Tensor:
    """Where the ``size + 2·shift`` positions of an edge padded by reflection are taken from."""
    position = torch.arange(-shift, size + shift).abs()
    last = size - 1
    return last - (last - position).abs()
