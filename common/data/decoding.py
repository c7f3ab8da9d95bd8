"""One picture file: its size, its depth, and its pixels as 8-bit RGB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

SMALLEST = 16  # pixels; the course's networks halve the picture often enough to need them
# How many bits a camera, scanner or microscope gives a value, of those it is stored in.
DEPTHS = (8, 10, 12, 14, 16, 24, 32)


class Look(NamedTuple):
    """What a first look at a picture shows.

    Attributes:
        height, width: in pixels, as it is to be shown.
        kind: of values that 8 bits do not hold: ``integer``, ``float``, ``colour`` (16 bits each),
            or empty.
        peak: the brightest of these values.
        several: whether the file holds more pictures than the first.
    """

    height: int
    width: int
    kind: str = ""
    peak: float = 0.0
    several: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class Unusable(ValueError):
    """A picture that can be read and not be used; the message names the file."""


@contextmanager
def opened(path: str) -> Iterator[Image.Image]:
    """The picture, opened; whatever makes it unreadable becomes an error that names the file."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            yield picture
    except Unusable:
        raise
    except Exception as problem:  # a damaged file can fail in many ways
        reason = str(problem) or type(problem).__name__
        raise ValueError(
            f"{path} cannot be read as a picture ({reason}). Replace or delete it."
        ) from problem


def look(picture: Image.Image, path: str) -> Look:
    """What ``picture`` is like; decodes it only if its values take more than 8 bits.

    Raises ``Unusable`` for one that is too small, or whose values mean no brightness.
    """
    width, height = picture.size
    if min(width, height) < SMALLEST:
        raise Unusable(
            f"{path} measures {height} × {width} pixels; pictures need at least "
            f"{SMALLEST} × {SMALLEST}. Replace or delete it."
        )
    if picture.getexif().get(0x0112, 1) > 4:  # the camera was held upright
        width, height = height, width
    several = bool(getattr(picture, "is_animated", False))
    if not (kind := _kind(picture)):
        return Look(height, width, several=several)
    values = np.asarray(picture)
    low, peak = float(values.min()), float(values.max())  # NaN if there is one
    if not (low >= 0 and peak < np.inf):
        raise Unusable(
            f"{path} holds values from {low:g} to {peak:g}, which are no brightness. Save it "
            "with 8 bits, 0 for black and 255 for white."
        )
    if kind == "colour":  # PIL gives the upper 8 of the 16 bits
        peak = peak * 256 + 255
    return Look(height, width, kind, peak, several)


def _kind(picture: Image.Image) -> str:
    if picture.mode.startswith("I"):
        return "integer"
    if picture.mode == "F":
        return "float"
    if picture.format == "TIFF":
        deep = max(picture.tag_v2.get(258, (8,))) > 8  # BitsPerSample
    else:
        deep = picture.format == "PNG" and any(";16" in str(tile[3]) for tile in picture.tile)
    return "colour" if deep else ""


def white_points(looks: Iterable[tuple[str, Look]]) -> dict[str, float]:
    """The value that is white in pictures of each kind: one for all, so that dark ones stay dark.

    ``looks`` has each picture's path and what it is like. It is the largest value of the fewest
    bits in use that hold all of them; numbers with a point may also go from 0 to 1. Raises
    ``ValueError`` naming the brightest picture where this says nothing.
    """
    brightest: dict[str, tuple[float, str]] = {}
    for path, seen in looks:
        if seen.kind and seen.peak >= brightest.get(seen.kind, (0.0, ""))[0]:
            brightest[seen.kind] = seen.peak, path
    whites = {}
    for kind, (peak, path) in brightest.items():
        bits = next((bits for bits in DEPTHS if peak < 2**bits), None)
        if kind == "float" and peak <= 1:
            whites[kind] = 1.0
        elif bits is None or (kind == "float" and peak < 16) or (kind == "colour" and bits < 16):
            raise ValueError(
                f"It cannot be told which value is white in {path}: they go up to {peak:g}. Save "
                "the pictures with 8 bits, 0 for black and 255 for white."
            )
        else:
            whites[kind] = float(2**bits - 1)
    return whites


def to_rgb(picture: Image.Image, height: int, width: int, whites: dict[str, float]) -> np.ndarray:
    """The picture as uint8 ``(height, width, 3)``; of another shape, its centre is cropped."""
    from PIL import ExifTags, Image, ImageOps

    if picture.size != (width, height):
        picture.draft("RGB", (2 * width, 2 * height))  # large JPEGs: decode a smaller version
    kind = _kind(picture)
    # Asked first, for each would copy a picture even where it leaves it as it is.
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if kind in ("integer", "float"):  # PIL would cut off all but the darkest values
        share = np.asarray(picture, dtype=np.float64) / whites[kind]
        picture = Image.fromarray((share * 255 + 0.5).clip(0, 255).astype(np.uint8))
    if picture.mode.endswith(("A", "a")) or "transparency" in picture.info:
        # Anything may be stored under transparent pixels: show them as a white page would.
        page = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(page, picture.convert("RGBA"))
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)
