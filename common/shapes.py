"""The built-in data set ``shapes``: ten kinds of figure, drawn on the spot, always the same.

It stands in for CIFAR-10 where there is no network, and keeps tests quick. Each picture holds one
figure of random colour, texture, place, size, slant and rotation on a textured ground, partly
hidden behind a bar or a disc, under noise. Some kinds are hard to tell apart on purpose (disc,
hexagon and pentagon; star and cross; ring and crescent): a good small network should be right
about nine times in ten, so that there is something left to compare.

A figure is given by its signed distance: negative inside, positive outside, zero on the edge.
That makes drawing thousands of them a matter of a few whole-array operations, with smooth edges.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

SIZE = 32
_CHUNK = 250  # pictures drawn at a time: the working arrays then stay in a core's cache

Field = np.ndarray  # float32 (n, SIZE, SIZE)


def _disc(x: Field, y: Field) -> Field:
    return np.hypot(x, y) - 0.82


def _ring(x: Field, y: Field) -> Field:
    return np.abs(np.hypot(x, y) - 0.66) - 0.22


def _crescent(x: Field, y: Field) -> Field:
    return np.maximum(np.hypot(x + 0.1, y) - 0.9, 0.66 - np.hypot(x - 0.35, y))


def _polygon(sides: int, apothem: float) -> Callable[[Field, Field], Field]:
    sector = 2 * np.pi / sides

    def distance(x: Field, y: Field) -> Field:
        # Every side looks alike from the centre: fold the plane onto one of them.
        angle = np.mod(np.arctan2(y, x), np.float32(sector)) - np.float32(sector / 2)
        return np.hypot(x, y) * np.cos(angle) - np.float32(apothem)

    return distance


def _star(x: Field, y: Field) -> Field:
    outer, inner, half = 1.05, 0.5, np.pi / 5
    angle = np.abs(np.mod(np.arctan2(y, x), np.float32(2 * half)) - np.float32(half))
    radius = np.hypot(x, y)
    # After folding, the edge is one straight line from a notch (angle 0) to a tip (angle `half`).
    tip = outer * np.cos(half), outer * np.sin(half)
    length = np.hypot(tip[0] - inner, tip[1])
    normal = np.float32(tip[1] / length), np.float32((inner - tip[0]) / length)
    across = (radius * np.cos(angle) - np.float32(inner)) * normal[0]
    return across + radius * np.sin(angle) * normal[1]


def _cross(x: Field, y: Field) -> Field:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.92, np.minimum(x, y) - 0.32)


def _heart(x: Field, y: Field) -> Field:
    # A square standing on its corner, with a half disc on each of the two upper sides.
    half = np.float32(0.5)
    x, y = x + np.float32(0.18), y + np.float32(0.18)
    square = np.maximum(np.abs(x), np.abs(y)) - half
    lobes = np.minimum(np.hypot(x - half, y), np.hypot(x, y - half)) - half
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
        images[start : start + _CHUNK] = _draw(labels[start : start + _CHUNK], rng)
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))


def _draw(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pictures of the given kinds: uint8 ``(n, 3, SIZE, SIZE)``."""
    n = len(labels)

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        """One random number a picture (and channel), shaped to spread over its pixels."""
        numbers = rng.random((n, *shape), dtype=np.float32) * np.float32(high - low)
        return (numbers + np.float32(low)).reshape(n, *shape, 1, 1)

    axis = (np.arange(SIZE, dtype=np.float32) + 0.5) * (2 / SIZE) - 1
    x, y = axis[None, None, :], axis[None, :, None]

    ground = uniform(0, 1, 3)
    # Going part of the way round the colour circle in each channel keeps the two colours apart.
    figure = np.mod(ground + uniform(0.25, 0.75, 3), 1)
    contrast = uniform(0.35, 1.0)[:, None]
    figure = ground + (figure - ground) * contrast
    picture = _textured(ground, contrast, x, y, uniform, rng)

    scale = uniform(0.34, 0.72)
    u, v = _turned(
        x - uniform(-0.35, 0.35), y - uniform(-0.35, 0.35), uniform(0, 2 * np.pi), uniform
    )
    u, v = u / scale, v / scale
    distance = np.empty((n, SIZE, SIZE), dtype=np.float32)
    for kind, measure in enumerate(_FIGURES.values()):
        chosen = labels == kind
        distance[chosen] = measure(u[chosen], v[chosen])
    inside = _cover(distance * scale)
    picture += (_textured(figure, contrast, x, y, uniform, rng) - picture) * inside[:, None]

    hidden = _cover(_occluder(x, y, uniform, rng)) * (uniform(0, 1) < 0.6)
    picture += (uniform(0, 1, 3) - picture) * hidden[:, None]

    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    picture += noise * uniform(0.01, 0.16)[:, None]
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _turned(x, y, angle, uniform):
    """Coordinates turned by ``angle`` and stretched a little along one axis."""
    cos, sin, stretch = np.cos(angle), np.sin(angle), uniform(0.8, 1.25)
    u, v = (cos * x + sin * y) * stretch, (cos * y - sin * x) / stretch
    # The second turn makes the stretch fall along any direction of the figure.
    angle = uniform(0, 2 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * u + sin * v, cos * v - sin * u


def _cover(distance: Field) -> Field:
    """Share of each pixel that lies inside the edge (distance in half pictures)."""
    return np.clip(0.5 - distance * (SIZE / 2), 0, 1)


def _textured(colour, contrast, x, y, uniform, rng) -> np.ndarray:
    """A surface ``(n, 3, SIZE, SIZE)`` of one colour with stripes, checks, dots or a gradient."""
    angle, pitch = uniform(0, 2 * np.pi), uniform(6, 18)
    cos, sin = np.cos(angle), np.sin(angle)
    along, across = cos * x + sin * y, cos * y - sin * x
    first = np.sin(along * pitch + uniform(0, 2 * np.pi))
    second = np.sin(across * pitch + uniform(0, 2 * np.pi))
    kind = rng.integers(0, 5, size=len(colour)).reshape(-1, 1, 1)
    wave = np.select(
        [kind == 0, kind == 1, kind == 2, kind == 3],
        [along, first * 3, first * second * 4, (first + second - 1) * 3],
        default=np.float32(0),
    )
    strength = uniform(-0.3, 0.3, 3) * contrast
    return colour + np.clip(wave, -1, 1)[:, None] * strength


def _occluder(x, y, uniform, rng) -> Field:
    """Distance to a bar across the picture or to a small disc."""
    x, y = x - uniform(-0.5, 0.5), y - uniform(-0.5, 0.5)
    angle = uniform(0, np.pi)
    bar = np.abs(np.cos(angle) * x + np.sin(angle) * y) - uniform(0.05, 0.2)
    disc = np.hypot(x, y) - uniform(0.15, 0.35)
    return np.where(rng.random((len(bar), 1, 1)) < 0.5, bar, disc)
