"""A data set by name or from a folder: ``load_images``.

It finds CIFAR-10 (on disk in torchvision's layout, as a folder of picture files, or by download),
the reader's own folder of pictures, or the built-in ``shapes``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from common import settings
from common.data import shapes
from common.data.folders import CIFAR10_CLASSES, JPEG_COPY, load_folder, named_by_place
from common.data.types import SPLITS, ImageData, ImageSet, image_data

NAMES = ("cifar10", "shapes")
ORIGINAL = "CIFAR-10"
CIFAR10_NAMES = (ORIGINAL, JPEG_COPY)
QUICK_TRAIN, QUICK_TEST = 160, 100
_BATCHES = "cifar-10-batches-py"


def load_images(name_or_path: str | Path = "cifar10") -> ImageData:
    """Load a data set by name or from a folder.

    ``"cifar10"`` looks in the data folder (``NORMS_DATA``, by default ``data``) for torchvision's
    ``cifar-10-batches-py``, checked against its md5 sums; then for ``cifar10/train/<class>/*`` and
    ``cifar10/test/<class>/*``; then downloads it. If none of these works out, it says so in one
    line and gives ``shapes``, with ``note`` set. ``"shapes"`` is the built-in data set. Anything
    else is a folder, given by its path or by its name within the data folder, in either layout.

    Pictures in class folders may be of any kind PIL reads, from 16 × 16 pixels up; they become RGB,
    8 bits deep. If all have one size up to 128 pixels, they keep it. Otherwise each is cropped to a
    centred square and resized to the median of the training pictures' shorter sides, at most 64
    pixels. Lines on stderr say how many pictures each class gave, what was done to them and what
    was left out. The tensors are kept in the data folder until a file changes.

    In quick mode a folder gives a few hundred of its own pictures, every name as many of
    ``shapes``, and the network is never asked.

    Raises ``ValueError`` for a name or folder that does not exist or holds no data set in one of
    the two layouts, and for pictures that cannot be used, naming the file.
    """
    source = _find(name_or_path)
    if source in NAMES:
        _say_what_is_hidden(str(name_or_path))
    if settings.quick() and isinstance(source, Path) and not _layout(source):
        return load_folder(source, few=(QUICK_TRAIN, QUICK_TEST))
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
    return named_by_place(source)


def is_cifar10(data: ImageData) -> bool:
    """Whether these are all of CIFAR-10's images, of the original or of the JPEG copy.

    A part of them is not, nor are they at another size, nor a folder that is only called so.
    """
    if data.quick or data.name not in CIFAR10_NAMES or data.classes != CIFAR10_CLASSES:
        return False
    return all(
        part.images.shape == (count, 3, 32, 32)
        and part.labels.bincount().tolist() == [count // 10] * 10
        for part, count in ((data.train, 50_000), (data.test, 10_000))
    )


def _find(name_or_path: str | Path) -> str | Path:
    """A name of ``NAMES``, or an existing folder."""
    if isinstance(name_or_path, str):
        name = name_or_path.lower().replace("-", "")
        if name in NAMES:
            return name
    path = settings.with_home(name_or_path).absolute()
    for folder in (path, settings.data_folder() / settings.with_home(name_or_path)):
        if folder.is_dir() and str(name_or_path):
            return folder
    if path.is_file():
        raise ValueError(f"{path} is a file; give the folder that holds train/ and test/.")
    raise ValueError(
        f"There is no data set or folder {str(name_or_path)!r}. Known names: {', '.join(NAMES)}. "
        "A folder of your own needs train/<class>/ and test/<class>/ with picture files; give its "
        f"path, or its name if it lies in {settings.data_folder()}."
    )


def _say_what_is_hidden(name: str) -> None:
    """Say on stderr that a folder of pictures is called as the built-in data set that is meant."""
    folder = Path(name)
    used = settings.data_folder() / "cifar10"  # what the name stands for, seen from the data folder
    if all((folder / split).is_dir() for split in SPLITS) and folder.resolve() != used.resolve():
        print(
            f"{name} is a data set of the course; for the folder of that name here, give ./{name}",
            file=sys.stderr,
        )


def _shapes(train: int = 10_000, test: int = 2_000, **more) -> ImageData:
    first, second = shapes.make_shapes(train, test)
    return image_data("shapes", ImageSet(*first), ImageSet(*second), shapes.CLASSES, **more)


def _cifar10(folder: Path) -> ImageData:
    # download is imported only where it is needed: torchvision takes a second and 150 MB.
    if (folder / _BATCHES).is_dir():
        from common.data.download import damaged

        if not damaged(folder):
            return _batches(folder)
    if (folder / "cifar10" / "train").is_dir():
        return load_folder(folder / "cifar10")
    from common.data import download

    try:
        download.download_cifar10(folder, sources=download.SOURCES)
    except download.DownloadError as problem:
        note = f"CIFAR-10 could not be had: {problem}"
        print(f"Going on with the built-in data set shapes instead. {note}", file=sys.stderr)
        return _shapes(note=note)
    return _batches(folder)


def _batches(folder: Path) -> ImageData:
    """Read ``folder/cifar-10-batches-py``, whose files must be whole."""
    from common.data.download import CIFAR10

    train, test = (CIFAR10(folder, train=split == "train") for split in SPLITS)

    def as_set(part: CIFAR10) -> ImageSet:
        # torchvision shows its pixels as (N, H, W, 3); they lie in memory as (N, 3, H, W).
        images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
        return ImageSet(images, torch.tensor(part.targets))

    return image_data(ORIGINAL, as_set(train), as_set(test), tuple(train.classes))


def _folder(folder: Path) -> ImageData:
    """A data set in either layout: ``folder`` may hold the batches or be their folder itself."""
    if not (root := _layout(folder)):
        return load_folder(folder)
    from common.data import download

    if broken := download.damaged(root):
        raise ValueError(
            f"{root / _BATCHES} lacks the original {', '.join(broken)}: unpack the archive again, "
            "or load 'cifar10' to have it downloaded."
        )
    return _batches(root)


def _layout(folder: Path) -> Path | None:
    """The folder that holds torchvision's, if ``folder`` is one of the two."""
    root = folder.resolve().parent if folder.resolve().name == _BATCHES else folder
    return root if (root / _BATCHES).is_dir() else None
