"""Folders of pictures with one odd thing each."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from common.data import load_images
from common.tests.stress.tally import Tally, attempt, place_of

# Endings that are read, and what PIL calls the format.
FORMATS = {"jfif": "jpeg", "jp2": "jpeg2000", "tif": "tiff", "jpg": "jpeg"}
ENDINGS = ("png", "jpg", "jfif", "bmp", "gif", "webp", "tif", "ppm", "tga", "jp2", "pcx", "dib")
MODES = {"1": "png", "L": "png", "LA": "png", "P": "png", "RGBA": "png", "CMYK": "jpg"}
MODES |= {"YCbCr": "jpg", "LAB": "tif"}
NAMES = ("кошки", "🦆", "a b", "$x$", "100%", "-rf", "a\nb", "CON", "é", "x" * 200)


def gradient(kind: type, top: float) -> Image.Image:
    """20 × 20 values from 0 to ``top``."""
    return Image.fromarray((np.linspace(0, 1, 400).reshape(20, 20) * top).astype(kind))


def make_folder(root: Path, train: int = 3, test: int = 3) -> None:
    """Two classes, ``a`` and ``b``, of so many pictures."""
    for split, kind, i in itertools.product(("train", "test"), "ab", range(max(train, test))):
        if i < {"train": train, "test": test}[split]:
            (root / split / kind).mkdir(parents=True, exist_ok=True)
            gradient(np.uint8, 255 - i % 10).save(root / split / kind / f"{i}.png")


def move_in(directory: Path) -> None:
    """Put a class one folder deeper."""
    directory.rename(directory.with_name("moved"))
    directory.mkdir()
    directory.with_name("moved").rename(directory / "inner")


def rename_class(p: Path, names: tuple[str, str]) -> None:
    """Give class ``a`` another name in train, and perhaps another one in test."""
    for split, name in zip(("train", "test"), names, strict=True):
        (p.parents[2] / split / "a").rename(p.parents[2] / split / name)


def damage(p: Path, end: str, rng: random.Random) -> None:
    """A picture of which some bytes are others."""
    target = p.with_name(f"x.{end}")
    gradient(np.uint8, 255).convert("RGB").save(target, FORMATS.get(end, end))
    content = bytearray(target.read_bytes())
    for _ in range(rng.choice([1, 3, 30])):
        content[rng.randrange(min(len(content), rng.choice([30, 300, 10**6])))] = rng.randrange(256)
    target.write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])


def oddities(rng: random.Random) -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    """Name; what is expected; what is done to one picture, of class ``a``.

    Expected is ``read``, ``refused``, ``either``, or words that have to be said.
    """
    deep = [
        *((np.uint16, top, end) for top in (255, 1023, 4095, 65535) for end in ("png", "tif")),
        *((np.int32, top, "tif") for top in (255, 4095, 65535)),
        *((np.float32, top, "tif") for top in (1.0, 255.0, 65535.0)),
    ]
    for kind, top, end in deep:

        def save(p: Path, kind: type = kind, top: float = top, end: str = end) -> None:
            gradient(kind, top).save(p.with_name(f"x.{end}"))

        yield f"{kind.__name__} to {top:g} as {end}", "read", save
    for mode, end in [*(("RGB", end) for end in ENDINGS), *MODES.items()]:

        def save(p: Path, mode: str = mode, end: str = end) -> None:
            image = gradient(np.uint8, 255).convert("RGB").convert(mode)
            image.save(p.with_name(f"x.{end}"), FORMATS.get(end, end))

        exact = "read" if mode in ("RGB", "L", "LA", "RGBA", "1") else "either"
        yield f"{mode} as {end}", exact, save
    for end in ENDINGS:
        yield f"damaged {end}", "either", lambda p, end=end: damage(p, end, rng)
    for name in NAMES:
        yield (
            f"named {name[:9]!r}",
            "itself",
            lambda p, name=name: (
                rename_class(p, (name, name)),
                shutil.copy(p.parents[1] / "b" / "0.png", p.parents[1]),
            ),
        )
    yield (
        "two spellings",
        "itself",
        lambda p: (
            rename_class(p, ("\u00e9", "e\u0301")),
            shutil.copy(p.parents[1] / "b" / "0.png", p.parents[1]),
        ),
    )
    yield from _broken()
    yield from _shape()
    yield from _links()


def _broken() -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    odd = Image.fromarray
    yield "cut", "refused", lambda p: p.write_bytes(p.read_bytes()[:60])
    yield "empty", "refused", lambda p: p.write_bytes(b"")
    yield "text", "refused", lambda p: p.write_text("no picture")
    yield "small", "refused", lambda p: Image.new("RGB", (9, 30)).save(p)
    yield "no number", "refused", lambda p: odd(np.full((20, 20), np.nan, "f4")).save(p, "TIFF")
    yield "negative", "refused", lambda p: odd(np.full((20, 20), -9, "i4")).save(p, "TIFF")
    yield "no scale", "refused", lambda p: odd(np.full((20, 20), 3, "f4")).save(p, "TIFF")


def _shape() -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    yield "no pictures", "refused", lambda p: shutil.rmtree(p.parent) or p.parent.mkdir()
    yield "no class", "refused", lambda p: shutil.rmtree(p.parent)
    yield (
        "one class",
        "refused",
        lambda p: [shutil.rmtree(p.parents[2] / split / "a") for split in ("train", "test")],
    )
    yield "no half", "refused", lambda p: shutil.rmtree(p.parents[1])
    yield (
        "a file for a half",
        "refused",
        lambda p: (
            shutil.rmtree(p.parents[1]),
            p.parents[1].write_text("x"),
        ),
    )
    yield (
        "a file for a class",
        "refused",
        lambda p: (
            shutil.rmtree(p.parent),
            p.parent.write_text("x"),
        ),
    )
    yield "deeper class", "refused", lambda p: move_in(p.parent)
    yield "deeper half", "refused", lambda p: move_in(p.parents[1])
    yield "no UTF-8", "refused", lambda p: p.parent.rename(p.parents[1] / os.fsdecode(b"c\xe9"))
    yield "hidden class", "refused", lambda p: p.parent.rename(p.parents[1] / ".a")
    yield "loose", "itself", lambda p: shutil.copy(p, p.parents[1])
    yield "nested", "too deep", lambda p: shutil.copytree(p.parent, p.parent / "more")
    yield "unread", "1 .heic", lambda p: p.with_suffix(".heic").touch()
    yield "larger", "cropped", lambda p: Image.new("RGB", (60, 30), "white").save(p)
    pages = {"save_all": True, "append_images": [gradient(np.uint8, 254)]}
    yield "pages", "several", lambda p: gradient(np.uint8, 255).save(p.with_suffix(".gif"), **pages)
    yield "counts", "a 3/2", lambda p: (p.parents[2] / "test" / "a" / "2.png").unlink()


def _links() -> Iterator[tuple[str, str, Callable[[Path], object]]]:
    yield "loop in a class", "too deep", lambda p: (p.parent / "loop").symlink_to(p.parent)
    yield "loop over all", "too deep", lambda p: (p.parent / "loop").symlink_to(p.parents[2])
    yield (
        "class of itself",
        "refused",
        lambda p: (
            shutil.rmtree(p.parent),
            p.parent.symlink_to(p.parent),
        ),
    )
    yield (
        "class that is gone",
        "refused",
        lambda p: [
            (p.parents[2] / split / "c").symlink_to("/nowhere") for split in ("train", "test")
        ],
    )
    yield "picture that is gone", "1 .png", lambda p: p.with_name("x.png").symlink_to("/nowhere")
    yield "picture of itself", "refused", lambda p: p.with_name("x.png").symlink_to("x.png")
    yield (
        "linked class",
        "itself",
        lambda p: (
            shutil.copy(p, p.parents[1]),
            p.parent.rename(p.parents[2] / "elsewhere"),
            p.parent.symlink_to(p.parents[2] / "elsewhere"),
        ),
    )
    yield "picture without rights", "refused", lambda p: p.chmod(0)
    yield "class without rights", "refused", lambda p: p.parent.chmod(0)
    yield "half without rights", "refused", lambda p: p.parents[1].chmod(0)
    yield "class without rights to enter", "refused", lambda p: p.parent.chmod(0o444)
    yield "pipe", "1 .png", lambda p: os.mkfifo(p.with_name("x.png"))


@contextlib.contextmanager
def _without_privileges() -> Iterator[None]:
    """As somebody for whom rights count, should this be root."""
    root = os.name == "posix" and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def folders(tally: Tally, rng: random.Random, place: Path) -> None:
    """Folders with one odd thing each: it is read as it is meant, told of, or refused."""
    for folder in (place, place.parent):
        folder.chmod(0o755)
    kinds = list(oddities(rng))
    while tally.left:
        case = tally.counts.total()
        name, expected, spoil = kinds[case % len(kinds)]
        root = place / f"folder{case}"
        make_folder(root)
        spoil(root / rng.choice(["train", "test"]) / "a" / "0.png")
        said = io.StringIO()
        with _without_privileges() if "rights" in name else contextlib.nullcontext():
            data, error = attempt(lambda root=root: load_images(root), said)
        refused = isinstance(error, ValueError) and expected in ("refused", "either")
        if error and not (refused and str(root) in str(error)):
            tally.add("traceback", f"{name}: {place_of(error)}")
        elif expected == "read":
            every = torch.cat([data.train.images, data.test.images])
            bright = (every.amax((1, 2, 3)) > 240).all() and (every.amin((1, 2, 3)) < 15).all()
            tally.add("fine" if len(every) == 13 and bright else "silent", name)
        else:
            well = expected == "either" or (error or expected in said.getvalue())
            tally.add("fine" if well else "silent", f"{name}: {said.getvalue()}")
