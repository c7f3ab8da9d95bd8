"""Folders of pictures, ``train/<class>/`` and ``test/<class>/``: listed, decoded once, and kept."""

from __future__ import annotations

import functools
import hashlib
import os
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock

from common import settings
from common.data.types import SPLITS, ImageData, ImageSet, image_data

if TYPE_CHECKING:
    from PIL import Image


CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")
SMALLEST = 16  # pixels; the course's networks halve the picture often enough to need them
LARGEST_KEPT = 128  # pixels; beyond that, pictures are shrunk to train in reasonable time
LARGEST_MADE = 64
_Files = dict[str, list[tuple[str, int, int]]]  # class -> (file name, bytes, time changed), sorted
_CACHE_VERSION = 1  # raise it when the same files would be decoded to other tensors


def load_folder(folder: Path) -> ImageData:
    """``folder/{train,test}/<class>/<picture>``, decoded once and then kept in a cache."""
    files = {split: _list_files(folder / split) for split in SPLITS}
    train, test = (set(files[split]) for split in SPLITS)
    if train != test:
        where = (("train", train - test), ("test", test - train))
        raise ValueError(
            f"The classes in {folder / 'train'} and {folder / 'test'} differ: "
            + "; ".join(f"only in {s}: {', '.join(sorted(names))}" for s, names in where if names)
            + ". Give both the same class folders."
        )
    if len(train) < 2:
        raise ValueError(f"{folder / 'train'} holds one class only, {', '.join(train)}; add more.")
    with _cache(folder, _fingerprint(files)) as (tensors, keep):
        if tensors is None:
            tensors = _decode(folder, files)
            keep(tensors)
    sets = [ImageSet(tensors[f"{split}_images"], tensors[f"{split}_labels"]) for split in SPLITS]
    return image_data(_folder_name(folder, files), *sets, tuple(files["train"]))


def _folder_name(folder: Path, files: dict[str, _Files]) -> str:
    numbers = tuple(sum(map(len, files[split].values())) for split in SPLITS)
    if tuple(files["train"]) == CIFAR10_CLASSES and numbers == (50_000, 10_000):
        names = (name.lower() for split in SPLITS for f in files[split].values() for name, *_ in f)
        if all(name.endswith((".jpg", ".jpeg")) for name in names):
            # Not the original pixels: results on the two differ by a few points.
            return "CIFAR-10 (JPEG copy)"
    return folder.resolve().name


def _list_files(folder: Path) -> _Files:
    if not folder.is_dir():
        raise ValueError(
            f"{folder} does not exist. A folder of pictures needs train/<class>/ and test/<class>/ "
            "with the same classes in both."
        )
    found: _Files = {}
    for directory in sorted(folder.iterdir()):
        if not directory.is_dir() or directory.name.startswith("."):
            continue
        with os.scandir(directory) as entries:  # a Path for each of many files would take seconds
            found[directory.name] = sorted(
                (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns)
                for entry in entries
                if entry.name.lower().endswith(SUFFIXES)
                and not entry.name.startswith(".")
                and entry.is_file()
            )
        if not found[directory.name]:
            raise ValueError(
                f"{directory} holds no pictures ({', '.join(SUFFIXES)}). Put some in, or delete "
                "this class in both train and test."
            )
    if not found:
        raise ValueError(f"{folder} is empty: it needs one folder for each class, with pictures.")
    return found


def _decode(folder: Path, files: dict[str, _Files]) -> dict[str, torch.Tensor]:
    """All pictures as tensors of one size: ``{train,test}_{images,labels}``."""
    paths = {
        split: [
            f"{folder}/{split}/{name}/{entry[0]}"
            for name, entries in files[split].items()
            for entry in entries
        ]
        for split in SPLITS
    }
    # Nearly always all pictures have the first one's size: then each file is opened only once.
    first = picture_size(paths["train"][0])
    guess = first if max(first) <= LARGEST_KEPT else None
    images, sizes = {}, {}
    for split in SPLITS:
        images[split], sizes[split] = _read_all(paths[split], guess, f"{folder.name}/{split}")
    everything = {*sizes["train"], *sizes["test"]}
    if everything != {guess}:
        side = min(int(median(min(size) for size in sizes["train"])), LARGEST_MADE)
        spans = " × ".join(f"{min(axis)}–{max(axis)}" for axis in zip(*everything, strict=True))
        print(
            f"{folder.name}: pictures of {spans} pixels (height × width) are cropped to a centred "
            f"square and resized to {side} × {side}.",
            file=sys.stderr,
        )
        for split in SPLITS:
            images[split] = None  # the first attempt's memory is needed for the second
            images[split], _ = _read_all(
                paths[split], (side, side), f"{folder.name}/{split}", fit=True
            )
    tensors = {f"{split}_images": images[split] for split in SPLITS}
    for split in SPLITS:
        numbers = torch.tensor([len(entries) for entries in files[split].values()])
        tensors[f"{split}_labels"] = torch.arange(len(numbers)).repeat_interleave(numbers)
    return tensors


def _read_all(
    paths: list[str], size: tuple[int, int] | None, name: str, fit: bool = False
) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """Images ``(N, 3, *size)`` and each file's own size; without ``fit``, others are left out."""
    from tqdm.auto import tqdm

    images = torch.empty(len(paths), 3, *(size or (0, 0)), dtype=torch.uint8)
    pixels = images.numpy()

    def read(numbers: range) -> list[tuple[int, int]]:
        sizes = []
        for number in numbers:
            with _opened(paths[number]) as picture:
                sizes.append(_size(picture, paths[number]))
                if fit or sizes[-1] == size:
                    pixels[number] = _to_rgb(picture, *size).transpose(2, 0, 1)
        return sizes

    blocks = [range(start, min(start + 100, len(paths))) for start in range(0, len(paths), 100)]
    sizes: list[tuple[int, int]] = []
    with (
        ThreadPoolExecutor(settings.physical_cores()) as pool,
        tqdm(total=len(paths), desc=f"decoding {name}", unit="image", leave=False) as bar,
    ):
        try:
            for block in pool.map(read, blocks):
                sizes += block
                bar.update(len(block))
        except BaseException:  # one broken picture, or Ctrl+C: the rest need not be read
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return images, sizes


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """The picture, opened; whatever makes it unreadable becomes an error that names the file."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            yield picture
    except (OSError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as problem:
        raise ValueError(
            f"{path} cannot be read as a picture ({problem}). Replace or delete it."
        ) from problem


def _size(picture: Image.Image, path: str) -> tuple[int, int]:
    width, height = picture.size
    if min(width, height) < SMALLEST:
        raise ValueError(
            f"{path} measures {height} × {width} pixels; pictures need at least "
            f"{SMALLEST} × {SMALLEST}. Replace or delete it."
        )
    return height, width


def picture_size(path: str) -> tuple[int, int]:
    """Height and width in pixels, from the file's header.

    Raises ``ValueError`` for a file that is no picture and for one under 16 pixels.
    """
    with _opened(path) as picture:
        return _size(picture, path)


def _to_rgb(picture: Image.Image, height: int, width: int) -> np.ndarray:
    """The picture as uint8 ``(height, width, 3)``; of another shape, its centre is cropped."""
    from PIL import ExifTags, Image, ImageOps

    if picture.size != (width, height):
        picture.draft("RGB", (2 * width, 2 * height))  # large JPEGs: decode a smaller version
    # Asked first, for each would copy a picture even where it leaves it as it is.
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16-bit grey: PIL would cut off all but the darkest values
        picture = Image.fromarray((np.asarray(picture) // 257).clip(0, 255).astype(np.uint8))
    if picture.mode.endswith(("A", "a")) or "transparency" in picture.info:
        # Anything may be stored under transparent pixels: show them as a white page would.
        page = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(page, picture.convert("RGBA"))
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _fingerprint(files: dict[str, _Files]) -> str:
    """Changes whenever a file is added, removed, renamed or written."""
    digest = hashlib.sha256(f"{_CACHE_VERSION} {SMALLEST} {LARGEST_KEPT} {LARGEST_MADE}".encode())
    for split in SPLITS:
        for name, entries in files[split].items():
            digest.update(f"\0{split}/{name}\0{entries}".encode())
    return digest.hexdigest()


@contextmanager
def _cache(folder: Path, key: str) -> Iterator[tuple[dict | None, Callable[[dict], None]]]:
    """What is kept for ``folder`` under ``key``, or None, and a function that keeps tensors.

    One file a folder, so that old versions do not pile up. A lock lets a second process wait for
    the first instead of decoding the same pictures; where nothing can be written, nothing is kept.
    """
    path = settings.data_folder() / ".cache" / f"{named_by_place(folder)}.pt"
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_suffix(".lock")))
            keep = functools.partial(_write_cache, path, key)
        except (OSError, NotImplementedError) as problem:  # read-only, or a disk without locks
            keep = functools.partial(_warn_unkept, path, str(problem))
        yield _read_cache(path, key), keep


def _read_cache(path: Path, key: str) -> dict[str, torch.Tensor] | None:
    try:
        tensors = torch.load(path, weights_only=True)
        return tensors if tensors.pop("key") == key else None
    except Exception:  # a damaged file can fail in many ways, and all of them mean: decode again
        return None


def _write_cache(path: Path, key: str, tensors: dict[str, torch.Tensor]) -> None:
    part = path.with_suffix(".part")
    try:
        torch.save({"key": key, **tensors}, part)
        part.replace(path)
    except (OSError, RuntimeError) as problem:  # torch reports a full disk as RuntimeError
        part.unlink(missing_ok=True)
        _warn_unkept(path, str(problem))


def _warn_unkept(path: Path, reason: str, _: object = None) -> None:
    warnings.warn(
        f"The decoded pictures could not be kept in {path} ({reason}): they will be decoded again "
        "next time. Set NORMS_DATA to a folder that can be written to.",
        stacklevel=2,
    )


def named_by_place(folder: Path) -> str:
    """The folder's name, and a mark of where it lies."""
    folder = folder.resolve()
    return f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
