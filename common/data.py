"""Images to train on, whole data sets at a time, as tensors in memory.

:func:`load_images` finds them: CIFAR-10 (on disk in torchvision's layout, as a folder of picture
files, or by download), the reader's own folder of pictures, or the built-in ``shapes``.
"""

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
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock

from common import settings, shapes

if TYPE_CHECKING:
    from PIL import Image

NAMES = ("cifar10", "shapes")
STAND_IN = "stand-in for CIFAR-10"  # in the title of shapes where CIFAR-10 was asked for
CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")
SMALLEST = 16  # pixels; the course's networks halve the picture often enough to need them
LARGEST_KEPT = 128  # pixels; beyond that, pictures are shrunk to train in reasonable time
LARGEST_MADE = 64
QUICK_TRAIN, QUICK_TEST = 320, 160
_SPLITS = ("train", "test")
_BATCHES = "cifar-10-batches-py"
_Files = dict[str, list[tuple[str, int, int]]]  # class -> (file name, bytes, time changed), sorted
_CACHE_VERSION = 1  # raise it when the same files would be decoded to other tensors


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


def load_images(name_or_path: str | Path = "cifar10") -> ImageData:
    """Load a data set by name or from a folder.

    ``"cifar10"`` looks in the data folder (``NORMS_DATA``, by default ``data``) for torchvision's
    ``cifar-10-batches-py``, checked against its md5 sums; then for ``cifar10/train/<class>/*`` and
    ``cifar10/test/<class>/*``; then downloads it. If none of these works out, it says so in one
    line and gives ``shapes``, with ``note`` set. ``"shapes"`` is the built-in data set. Anything
    else is a folder, given by its path or by its name within the data folder, in either layout.

    Pictures in class folders may be of any kind PIL reads, from 16 × 16 pixels up; they become RGB.
    If all have one size up to 128 pixels, they keep it. Otherwise each is cropped to a centred
    square and resized to the median of the training pictures' shorter sides, at most 64 pixels,
    and a line says so. The tensors are kept in the data folder until a file changes.

    In quick mode every valid name gives a few hundred pictures of ``shapes``, and the network is
    never asked.

    Raises ``ValueError`` for a name or folder that does not exist or holds no data set in one of
    the two layouts, and for pictures that cannot be used, naming the file.
    """
    source = _find(name_or_path)
    if settings.quick():
        note = "" if source == "shapes" else "Quick mode shows shapes, whatever was asked for."
        return _shapes(QUICK_TRAIN, QUICK_TEST, quick=True, note=note)
    if source == "shapes":
        return _shapes()
    if source == "cifar10":
        return _cifar10(settings.data_folder())
    return _folder(source)


def folder_name(name_or_path: str | Path) -> str:
    """What to call a folder of runs on these images: different for any two data sets.

    Takes and raises what ``load_images`` does, and reads nothing.
    """
    source = _find(name_or_path)
    if isinstance(source, str):
        return source
    return _named_by_place(source)


def _named_by_place(folder: Path) -> str:
    """The folder's name, and a mark of where it lies."""
    folder = folder.resolve()
    return f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def _find(name_or_path: str | Path) -> str | Path:
    """A name of ``NAMES``, or an existing folder."""
    if isinstance(name_or_path, str):
        name = name_or_path.lower().replace("-", "")
        if name in NAMES:
            return name
    path = Path(name_or_path).expanduser()
    for folder in (path, settings.data_folder() / path):
        if folder.is_dir() and str(name_or_path):
            return folder
    if path.is_file():
        raise ValueError(f"{path} is a file; give the folder that holds train/ and test/.")
    raise ValueError(
        f"There is no data set or folder {str(name_or_path)!r}. Known names: {', '.join(NAMES)}. "
        "A folder of your own needs train/<class>/ and test/<class>/ with picture files; give its "
        f"path, or its name if it lies in {settings.data_folder()}."
    )


def _data(
    name: str, train: ImageSet, test: ImageSet, classes: tuple[str, ...], **more
) -> ImageData:
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


def _shapes(train: int = 10_000, test: int = 2_000, **more) -> ImageData:
    first, second = shapes.make_shapes(train, test)
    return _data("shapes", ImageSet(*first), ImageSet(*second), shapes.CLASSES, **more)


# ---- CIFAR-10 --------------------------------------------------------------------------------


def _cifar10(folder: Path) -> ImageData:
    # download is imported only where it is needed: torchvision takes a second and 150 MB.
    if (folder / _BATCHES).is_dir():
        from common.download import damaged

        if not damaged(folder):
            return _batches(folder)
    if (folder / "cifar10" / "train").is_dir():
        return _class_folder(folder / "cifar10")
    from common import download

    try:
        download.download_cifar10(folder, sources=download.SOURCES)
    except download.DownloadError as problem:
        note = f"CIFAR-10 could not be had: {problem}"
        print(f"Going on with the built-in data set shapes instead. {note}", file=sys.stderr)
        return _shapes(note=note)
    return _batches(folder)


def _batches(folder: Path) -> ImageData:
    """Read ``folder/cifar-10-batches-py``, whose files must be whole."""
    from common.download import CIFAR10

    train, test = (CIFAR10(folder, train=split == "train") for split in _SPLITS)

    def as_set(part: CIFAR10) -> ImageSet:
        # torchvision shows its pixels as (N, H, W, 3); they lie in memory as (N, 3, H, W).
        images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
        return ImageSet(images, torch.tensor(part.targets))

    return _data("CIFAR-10", as_set(train), as_set(test), tuple(train.classes))


# ---- folders of pictures ---------------------------------------------------------------------


def _folder(folder: Path) -> ImageData:
    """A data set in either layout: ``folder`` may hold the batches or be their folder itself."""
    root = folder.resolve().parent if folder.resolve().name == _BATCHES else folder
    if not (root / _BATCHES).is_dir():
        return _class_folder(folder)
    from common import download

    if broken := download.damaged(root):
        raise ValueError(
            f"{root / _BATCHES} lacks the original {', '.join(broken)}: unpack the archive again, "
            "or load 'cifar10' to have it downloaded."
        )
    return _batches(root)


def _class_folder(folder: Path) -> ImageData:
    """``folder/{train,test}/<class>/<picture>``, decoded once and then kept in a cache."""
    files = {split: _list_files(folder / split) for split in _SPLITS}
    train, test = (set(files[split]) for split in _SPLITS)
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
    sets = [ImageSet(tensors[f"{split}_images"], tensors[f"{split}_labels"]) for split in _SPLITS]
    return _data(_folder_name(folder, files), *sets, tuple(files["train"]))


def _folder_name(folder: Path, files: dict[str, _Files]) -> str:
    numbers = tuple(sum(map(len, files[split].values())) for split in _SPLITS)
    if tuple(files["train"]) == CIFAR10_CLASSES and numbers == (50_000, 10_000):
        names = (name.lower() for split in _SPLITS for f in files[split].values() for name, *_ in f)
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
        for split in _SPLITS
    }
    # Nearly always all pictures have the first one's size: then each file is opened only once.
    first = picture_size(paths["train"][0])
    guess = first if max(first) <= LARGEST_KEPT else None
    images, sizes = {}, {}
    for split in _SPLITS:
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
        for split in _SPLITS:
            images[split] = None  # the first attempt's memory is needed for the second
            images[split], _ = _read_all(
                paths[split], (side, side), f"{folder.name}/{split}", fit=True
            )
    tensors = {f"{split}_images": images[split] for split in _SPLITS}
    for split in _SPLITS:
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
    from PIL import Image, ImageOps

    if picture.size != (width, height):
        picture.draft("RGB", (2 * width, 2 * height))  # large JPEGs: decode a smaller version
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16-bit grey: PIL would cut off all but the darkest values
        picture = Image.fromarray((np.asarray(picture) // 257).clip(0, 255).astype(np.uint8))
    if picture.mode.endswith(("A", "a")) or "transparency" in picture.info:
        # Anything may be stored under transparent pixels: show them as a white page would.
        page = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(page, picture.convert("RGBA"))
    picture = picture.convert("RGB")
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


# ---- the cache of decoded pictures -----------------------------------------------------------


def _fingerprint(files: dict[str, _Files]) -> str:
    """Changes whenever a file is added, removed, renamed or written."""
    digest = hashlib.sha256(f"{_CACHE_VERSION} {SMALLEST} {LARGEST_KEPT} {LARGEST_MADE}".encode())
    for split in _SPLITS:
        for name, entries in files[split].items():
            digest.update(f"\0{split}/{name}\0{entries}".encode())
    return digest.hexdigest()


@contextmanager
def _cache(folder: Path, key: str) -> Iterator[tuple[dict | None, Callable[[dict], None]]]:
    """What is kept for ``folder`` under ``key``, or None, and a function that keeps tensors.

    One file a folder, so that old versions do not pile up. A lock lets a second process wait for
    the first instead of decoding the same pictures; where nothing can be written, nothing is kept.
    """
    path = settings.data_folder() / ".cache" / f"{_named_by_place(folder)}.pt"
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
