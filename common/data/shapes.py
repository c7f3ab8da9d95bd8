"""The built-in data set ``shapes``: ten kinds of figure, drawn on the spot, always the same.

It stands in for CIFAR-10 where there is no network, and keeps tests quick. Each picture holds one
figure of random colour, texture, place, size, slant and rotation on a textured ground, partly
hidden behind a bar or a disc, under noise. Some kinds are hard to tell apart on purpose (pentagon
and hexagon, a stretched square, disc and heart): a good small network should be right about nine
times in ten, so that there is something left to compare.

A figure is given by its signed distance: negative inside, positive outside, zero on the edge.
That makes drawing thousands of them a matter of a few whole-array operations, with smooth edges.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch

SIZE = 32
_CHUNK = 250  # pictures drawn at a time: the working arrays then stay in a core's cache

Field = np.ndarray  # float32 (n, SIZE, SIZE)


def _radius(x: Field, y: Field) -> Field:
    return np.sqrt(x * x + y * y)  # several times faster than np.hypot, and no overflow to fear


def _disc(x: Field, y: Field) -> Field:
    return _radius(x, y) - 0.82


def _ring(x: Field, y: Field) -> Field:
    return np.abs(_radius(x, y) - 0.66) - 0.22


def _crescent(x: Field, y: Field) -> Field:
    return np.maximum(_radius(x + 0.1, y) - 0.9, 0.66 - _radius(x - 0.35, y))


def _sides(number: int, apothem: float, x: Field, y: Field) -> Iterator[Field]:
    """Distances to the lines through the sides of a regular polygon."""
    for angle in np.arange(number) * (2 * np.pi / number):
        yield np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y - np.float32(apothem)


def _polygon(number: int, apothem: float) -> Callable[[Field, Field], Field]:
    return lambda x, y: functools.reduce(np.maximum, _sides(number, apothem, x, y))


def _star(x: Field, y: Field) -> Field:
    # In a five-pointed star a point lies beyond at most one of the five lines: what counts is the
    # second largest of the distances.
    first = second = np.float32(-np.inf)
    for distance in _sides(5, 0.37, x, y):
        second = np.maximum(second, np.minimum(first, distance))
        first = np.maximum(first, distance)
    return second


def _cross(x: Field, y: Field) -> Field:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.92, np.minimum(x, y) - 0.32)


def _heart(x: Field, y: Field) -> Field:
    # A square standing on its corner, with a half disc on each of the two upper sides.
    half = np.float32(0.5)
    x, y = x + np.float32(0.18), y + np.float32(0.18)
    square = np.maximum(np.abs(x), np.abs(y)) - half
    lobes = np.minimum(_radius(x - half, y), _radius(x, y - half)) - half
    return np.minimum(square, lobes)


_FIGURES: dict[str, Callable[[Field, Field], Field]] = {
    "disc": _disc,
    "ring": _ring,
    "crescent": _crescent,
    "triangle": _polygon(3, 0.52),
    "square": _polygon(4, 0.7),
    "pentagon": _polygon(5, 0.74),
    "hexagon": _polygon(6, 0.77),
    "star": _star,
    "cross": _cross,
    "heart": _heart,
}
CLASSES: tuple[str, ...] = tuple(_FIGURES)


def make_shapes(
    train: int = 10_000, test: int = 2_000, seed: int = 0
) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Draw the data set: ``((images, labels), (images, labels))`` for training and test.

    Images are uint8 ``(N, 3, 32, 32)``, labels int64 ``(N,)`` in the order of ``CLASSES``, mixed,
    with class counts that differ by at most one. The same arguments give the same pictures; the
    test pictures do not depend on ``train``. Raises ``ValueError`` for fewer than one image.
    """
    for name, number in (("train", train), ("test", test)):
        if number < 1:
            raise ValueError(f"{name} is {number}; shapes needs at least one image, e.g. 100.")
    return _split(train, (seed, 0)), _split(test, (seed, 1))


def _split(number: int, seed: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = rng.permutation(np.arange(number) % len(CLASSES))
    images = np.empty((number, 3, SIZE, SIZE), dtype=np.uint8)
    for start in range(0, number, _CHUNK):
        chosen = slice(start, start + _CHUNK)
        images[chosen] = _Pictures(labels[chosen], rng).draw()
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))


class _Pictures:
    """Some pictures drawn together; every random choice is made once for each of them."""

    def __init__(self, labels: np.ndarray, rng: np.random.Generator) -> None:
        self.labels, self.rng = labels, rng
        axis = (np.arange(SIZE, dtype=np.float32) + 0.5) * (2 / SIZE) - 1
        self.x, self.y = axis[None, None, :], axis[None, :, None]

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        """Random numbers ``(n, *shape, 1, 1)``, one a picture (and channel) for all its pixels."""
        numbers = self.rng.random((len(self.labels), *shape, 1, 1), dtype=np.float32)
        return numbers * np.float32(high - low) + np.float32(low)

    def draw(self) -> np.ndarray:
        """The pictures, uint8 ``(n, 3, SIZE, SIZE)``."""
        # Mostly light on dark: with both colours drawn freely, a small network was still guessing
        # after three epochs.
        ground, figure = self.uniform(0.0, 0.6, 3), self.uniform(0.4, 1.0, 3)
        contrast = self.uniform(0.5, 1.0, 1)
        figure = ground + (figure - ground) * contrast
        picture = self.surface(ground, contrast)
        picture += (self.surface(figure, contrast) - picture) * self.figure()
        picture += (self.uniform(0, 1, 3) - picture) * self.occluder()
        noise = self.rng.standard_normal(picture.shape, dtype=np.float32)
        picture += noise * self.uniform(0.01, 0.09, 1)
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)

    def figure(self) -> np.ndarray:
        """Share of each pixel covered by the figure, ``(n, 1, SIZE, SIZE)``."""
        x, y = self.x - self.uniform(-0.3, 0.3), self.y - self.uniform(-0.3, 0.3)
        # Turned, stretched a little, and turned again: a slant in any direction of the figure.
        x, y = _turned(x, y, self.uniform(0, 2 * np.pi))
        stretch, scale = self.uniform(0.8, 1.25), self.uniform(0.45, 0.85)
        x, y = _turned(x * (stretch / scale), y / (stretch * scale), self.uniform(0, 2 * np.pi))
        distance = np.empty_like(x)
        for label, measure in enumerate(_FIGURES.values()):
            chosen = self.labels == label
            distance[chosen] = measure(x[chosen], y[chosen])
        return _cover(distance * scale)

    def occluder(self) -> np.ndarray:
        """Share of each pixel hidden by a bar or a disc, ``(n, 1, SIZE, SIZE)``; often none."""
        x, y = self.x - self.uniform(-0.5, 0.5), self.y - self.uniform(-0.5, 0.5)
        across, along = _turned(x, y, self.uniform(0, np.pi))
        bar = np.abs(across) - self.uniform(0.05, 0.2)
        disc = _radius(across, along) - self.uniform(0.15, 0.35)
        shown, is_bar = self.uniform(0, 1) < 0.4, self.uniform(0, 1) < 0.5
        return _cover(np.where(shown, np.where(is_bar, bar, disc), np.float32(1)))

    def surface(self, colour: np.ndarray, contrast: np.ndarray) -> np.ndarray:
        """Plain, striped, checked, dotted or shaded colour, ``(n, 3, SIZE, SIZE)``."""
        along, across = _turned(self.x, self.y, self.uniform(0, 2 * np.pi))
        pitch = self.uniform(6, 18)
        first = np.sin(along * pitch + self.uniform(0, 2 * np.pi))
        second = np.sin(across * pitch + self.uniform(0, 2 * np.pi))
        kind = self.rng.integers(0, 5, size=pitch.shape)
        wave = np.select(
            [kind == 0, kind == 1, kind == 2, kind == 3],
            [along, first * 3, first * second * 4, (first + second - 1) * 3],
            default=np.float32(0),
        )
        strength = self.uniform(-0.2, 0.2, 3) * contrast
        return colour + np.clip(wave, -1, 1)[:, None] * strength


def _turned(x: Field, y: Field, angle: np.ndarray) -> tuple[Field, Field]:
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def _cover(distance: Field) -> np.ndarray:
    """Share of each pixel within the edge; distances are in half pictures."""
    return np.clip(0.5 - distance * np.float32(SIZE / 2), 0, 1)[:, None]
