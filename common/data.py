"""Images to train on, whole data sets at a time, as tensors in memory.

:func:`load_images` finds them: CIFAR-10 (on disk in torchvision's layout, as a folder of picture
files, or by download), the reader's own folder of pictures, or the built-in ``shapes``.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import torch

from common import download, settings, shapes

if TYPE_CHECKING:
    from PIL import Image

NAMES = ("cifar10", "shapes")
CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
SMALLEST = 16  # pixels; the course's networks halve the picture often enough to need them
LARGEST_KEPT = 128  # pixels; beyond that, pictures are shrunk to train in reasonable time
LARGEST_MADE = 64
QUICK_TRAIN, QUICK_TEST = 320, 160
_CACHE_VERSION = 1  # raise it when the same files would be decoded to other tensors


@dataclass(frozen=True)
class ImageSet:
    """Images, uint8 ``(N, 3, H, W)``, and their labels, int64 ``(N,)``."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


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
        return f"{self.name} – stand-in for CIFAR-10" if self.note else self.name


def load_images(name_or_path: str | Path = "cifar10") -> ImageData:
    """Load a data set by name or from a folder.

    ``"cifar10"`` looks in the data folder (``NORMS_DATA``, by default ``data``) for torchvision's
    ``cifar-10-batches-py``, checked against its md5 sums; then for ``cifar10/train/<class>/*`` and
    ``cifar10/test/<class>/*``; then downloads it. If none of these works out, it says so in one
    line and gives ``shapes``, with ``note`` set. ``"shapes"`` is the built-in data set. Anything
    else is a folder, given by its path or by its name within the data folder, in either layout.

    In quick mode every valid name gives a few hundred pictures of ``shapes``, and the network is
    never asked.

    Raises ``ValueError`` for a name or folder that does not exist or holds no data set in one of
    the two layouts, and for pictures that cannot be used, naming the file.
    """
    source = _find(name_or_path)
    if settings.quick():
        return _shapes(QUICK_TRAIN, QUICK_TEST, quick=True)
    if source == "shapes":
        return _shapes()
    if source == "cifar10":
        return _cifar10(settings.data_folder())
    return _folder(source)


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
    if path.exists():
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
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for chunk in images.split(1024):
        for channel, pixels in enumerate(chunk.unbind(1)):
            counts[channel] += torch.bincount(pixels.flatten(), minlength=256)
    share = counts / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(1)
    return tuple(mean.tolist()), tuple(variance.sqrt().tolist())


def _shapes(train: int = 10_000, test: int = 2_000, **more) -> ImageData:
    first, second = shapes.make_shapes(train, test)
    return _data("shapes", ImageSet(*first), ImageSet(*second), shapes.CLASSES, **more)


# ---- CIFAR-10 --------------------------------------------------------------------------------


def _cifar10(folder: Path) -> ImageData:
    batches = folder / download.cifar10().base_folder
    if batches.is_dir() and not download.damaged(folder):
        return _batches(folder)
    if (folder / "cifar10").is_dir():
        return _class_folder(folder / "cifar10")
    try:
        download.download_cifar10(folder)
        return _batches(folder)
    except download.DownloadError as problem:
        note = f"CIFAR-10 could not be had: {problem}"
    # One plain line where the reader looks; the figures' titles repeat it in brief.
    print(f"Using the built-in data set shapes instead. {note}", file=sys.stderr)
    return _shapes(note=note)


def _batches(folder: Path) -> ImageData:
    """Read ``folder/cifar-10-batches-py``, whose files must be whole."""
    layout = download.cifar10()
    train, test = layout(folder, train=True), layout(folder, train=False)

    def as_set(part) -> ImageSet:
        # torchvision hands out a channels-last view; turning it back costs no copy.
        images = torch.from_numpy(part.data).permute(0, 3, 1, 2)
        return ImageSet(images.contiguous(), torch.tensor(part.targets))

    return _data("CIFAR-10", as_set(train), as_set(test), tuple(train.classes))


# ---- folders of pictures ---------------------------------------------------------------------


def _folder(folder: Path) -> ImageData:
    """A data set in either layout: ``folder`` may hold the batches or be their folder itself."""
    base = download.cifar10().base_folder
    root = folder.resolve().parent if folder.resolve().name == base else folder
    if (root / base).is_dir():
        broken = download.damaged(root)
        if broken:
            raise ValueError(
                f"{root / base} is missing or has damaged: {', '.join(broken)}. Delete the folder "
                "and unpack the archive again, or load 'cifar10' to have it downloaded."
            )
        return _batches(root)
    return _class_folder(folder)


def _class_folder(folder: Path) -> ImageData:
    """``folder/{train,test}/<class>/<picture>``, decoded once and then kept in a cache."""
    files = {split: _list_files(folder / split) for split in ("train", "test")}
    classes = tuple(files["train"])
    if classes != tuple(files["test"]):
        only = {s: sorted(set(files[s]) - set(files[o])) for s, o in (_PAIR, _PAIR[::-1])}
        raise ValueError(
            f"The classes in {folder}/train and {folder}/test differ: "
            + "; ".join(f"only in {s}: {', '.join(names)}" for s, names in only.items() if names)
            + ". Give both the same class folders."
        )
    if len(classes) < 2:
        raise ValueError(
            f"{folder}/train holds one class, {classes[0]!r}; at least two are needed."
        )
    with _cached(folder, _fingerprint(files)) as (tensors, keep):
        if tensors is None:
            tensors = keep(_decode(folder, files))
    name = folder.resolve().name
    counts = len(tensors["train_labels"]), len(tensors["test_labels"])
    if classes == CIFAR10_CLASSES and counts == (50_000, 10_000):
        kinds = {os.path.splitext(path)[1].lower() for path, *_ in files["train"]["cat"]}
        name = "CIFAR-10 (JPEG copy)" if kinds <= {".jpg", ".jpeg"} else name
    sets = [ImageSet(tensors[f"{s}_images"], tensors[f"{s}_labels"]) for s in _PAIR]
    return _data(name, *sets, classes)


_PAIR = ("train", "test")
_Files = dict[str, list[tuple[str, int, int]]]  # class -> (path, bytes, time changed), sorted


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
        with os.scandir(directory) as entries:
            found[directory.name] = sorted(
                (entry.path, entry.stat().st_size, entry.stat().st_mtime_ns)
                for entry in entries
                if _looks_like_picture(entry.name) and entry.is_file()
            )
        if not found[directory.name]:
            raise ValueError(
                f"{directory} holds no pictures ({', '.join(sorted(SUFFIXES))}). Put some in, or "
                "delete the folder in both train and test."
            )
    if not found:
        raise ValueError(f"{folder} is empty: it needs one folder for each class, with pictures.")
    return found


def _looks_like_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _decode(folder: Path, files: dict[str, _Files]) -> dict[str, torch.Tensor]:
    """All pictures as tensors of one size: ``{train,test}_{images,labels}``."""
    from tqdm.auto import tqdm

    paths = {s: [path for entries in files[s].values() for path, *_ in entries] for s in _PAIR}
    total = sum(map(len, paths.values()))
    tensors: dict[str, torch.Tensor] = {}
    with (
        ThreadPoolExecutor(settings.physical_cores()) as pool,
        # Read each header, then each picture: sizes must be known before memory is laid out.
        tqdm(total=2 * total, desc=f"decoding {folder.name}", unit="step", leave=False) as bar,
    ):
        sizes = {s: list(_run(pool, picture_size, paths[s], bar)) for s in _PAIR}
        height, width = _common_size(folder, sizes["train"], sizes["test"])
        for split in _PAIR:
            images = torch.empty(len(paths[split]), 3, height, width, dtype=torch.uint8)
            into = images.numpy()

            def decode(number: int, into=into, paths=paths[split]) -> None:
                into[number] = read_picture(paths[number], height, width).transpose(2, 0, 1)

            for _ in _run(pool, decode, range(len(images)), bar):
                pass
            tensors[f"{split}_images"] = images
            tensors[f"{split}_labels"] = torch.tensor(
                [k for k, entries in enumerate(files[split].values()) for _ in entries]
            )
    return tensors


def _run(pool: ThreadPoolExecutor, work: Callable, items, bar) -> Iterator:
    """Results of ``work`` in order, a block of items at a time: single ones are too small."""
    items = list(items)
    blocks = [items[start : start + 256] for start in range(0, len(items), 256)]
    for results in pool.map(lambda block: [work(item) for item in block], blocks):
        yield from results
        bar.update(len(results))


def _common_size(folder: Path, train: list, test: list) -> tuple[int, int]:
    """Height and width that all pictures get; said aloud where they do not all have it already."""
    sizes = set(train) | set(test)
    if len(sizes) == 1 and max(*sizes) and max(next(iter(sizes))) <= LARGEST_KEPT:
        return next(iter(sizes))
    side = min(int(median(min(size) for size in train)), LARGEST_MADE)
    print(
        f"{folder.name}: the pictures measure from {_span(sizes, 0)} by {_span(sizes, 1)} pixels; "
        f"all are cut to a centred square and resized to {side}×{side}.",
        file=sys.stderr,
    )
    return side, side


def _span(sizes: set[tuple[int, int]], axis: int) -> str:
    return f"{min(s[axis] for s in sizes)}–{max(s[axis] for s in sizes)}"


@contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    """The picture, opened; whatever goes wrong with it becomes an error that names the file."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            yield picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise ValueError(
            f"{path} cannot be read as a picture ({problem}). Replace or delete it."
        ) from problem


def picture_size(path: str) -> tuple[int, int]:
    """Height and width in pixels, as the file's header states them."""
    with _opened(path) as picture:
        width, height = picture.size
    if min(width, height) < SMALLEST:
        raise ValueError(
            f"{path} measures {width}×{height} pixels; pictures need at least "
            f"{SMALLEST}×{SMALLEST}. Enlarge or delete it."
        )
    return height, width


def read_picture(path: str, height: int, width: int):
    """One picture file as RGB, uint8 array ``(height, width, 3)``, cropped and resized to fit."""
    import numpy as np
    from PIL import Image, ImageOps

    with _opened(path) as picture:
        if picture.size != (width, height):
            picture.draft("RGB", (2 * width, 2 * height))  # large JPEGs: decode at a fraction
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16-bit grey: PIL would cut off all but the darkest
            picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
        if picture.has_transparency_data:
            # Under transparent pixels anything may be stored; show them as a page would.
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
    for split in _PAIR:
        for name, entries in files[split].items():
            digest.update(f"\0{split}/{name}\0".encode())
            for path, size, changed in entries:
                digest.update(f"{os.path.basename(path)}\0{size}\0{changed}\0".encode())
    return digest.hexdigest()


@contextmanager
def _cached(folder: Path, key: str) -> Iterator[tuple[dict | None, Callable[[dict], dict]]]:
    """The tensors kept for ``folder`` (None if there are none or they are out of date), and a
    function that keeps new ones.

    One file a folder, so that old versions do not pile up. A lock lets a second process wait for
    the first instead of decoding the same pictures; where nothing can be written, nothing is kept.
    """
    from filelock import FileLock

    where = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    path = settings.data_folder() / ".cache" / f"{folder.resolve().name}-{where}.pt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    except OSError as problem:
        yield _read_cache(path, key), lambda tensors: _warn_unkept(path, problem) or tensors
        return
    try:

        def keep(tensors: dict) -> dict:
            part = path.with_suffix(".part")
            try:
                torch.save({"key": key, **tensors}, part)
                os.replace(part, path)
            except (OSError, RuntimeError) as problem:  # torch reports a full disk as RuntimeError
                part.unlink(missing_ok=True)
                _warn_unkept(path, problem)
            return tensors

        yield _read_cache(path, key), keep
    finally:
        lock.release()


def _warn_unkept(path: Path, problem: Exception) -> None:
    warnings.warn(
        f"The decoded pictures could not be kept in {path} ({problem}): they will be decoded again "
        "next time. Set NORMS_DATA to a folder that can be written to.",
        stacklevel=4,
    )


def _read_cache(path: Path, key: str) -> dict[str, torch.Tensor] | None:
    try:
        tensors = torch.load(path, weights_only=True)
        return tensors if tensors.pop("key") == key else None
    except Exception:  # a damaged cache can fail in many ways, and all of them mean: decode again
        return None
