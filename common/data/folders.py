"""Folders of pictures, ``train/<class>/`` and ``test/<class>/``: listed, decoded once, and kept."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from common import settings
from common.data import decoding
from common.data.decoding import Look
from common.data.types import SPLITS, ImageData, ImageSet, image_data
from common.files import locked
from common.frontends import bar

CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
JPEG_COPY = "CIFAR-10 (JPEG copy)"  # not the original pixels: results differ by a few points
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"),
    *(".jfif", ".jpe", ".jp2", ".j2k", ".jpx", ".apng", ".avif", ".dib", ".ico"),
    *(".pbm", ".pgm", ".pnm", ".pcx", ".sgi", ".tga"),
)
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")  # put there by Windows, not by the reader
LARGEST_KEPT = 128  # pixels; beyond that, pictures are shrunk to train in reasonable time
LARGEST_MADE = 64
HARDLY_ANY = 0.01  # standard deviation of pixels in [0, 1] below which a data set shows nothing
_CACHE_VERSION = 2  # raise it when the same files would be decoded to other tensors

# Folder and file name, bytes, and two times: unzip and rsync set the first back to what it was
# elsewhere, and only the system sets the second (on Windows it is when the file was made).
_Entry = tuple[str, int, int, int]
_Files = dict[str, list[_Entry]]  # by class, sorted


@dataclass
class _Ignored:
    """What lies among the pictures of one half and is not used."""

    loose: int = 0
    nested: Counter[str] = field(default_factory=Counter)  # folder within a class -> its pictures
    other: Counter[str] = field(default_factory=Counter)  # ending -> files


def load_folder(folder: Path, few: tuple[int, int] | None = None) -> ImageData:
    """``folder/{train,test}/<class>/<picture>``, decoded once and then kept in a cache.

    With ``few`` training and test pictures, about as many are taken from each class; they are not
    kept, and the data set is one of quick mode.
    """
    try:
        listed = {split: _list_files(folder / split) for split in SPLITS}
    except OSError as error:  # no right to look into it, a link to itself, a disk that fails
        raise ValueError(
            f"{error.filename} cannot be read ({error.strerror}): mend that, give yourself the "
            "right to, or move it away."
        ) from error
    files = {split: listed[split][0] for split in SPLITS}
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
    name = _folder_name(folder, files)
    ignored = {split: listed[split][1] for split in SPLITS}
    _say(name, _census(files, ignored, known=name == JPEG_COPY))
    if few:
        files = {split: _some(files[split], n) for split, n in zip(SPLITS, few, strict=True)}
        data = _as_data(name, files, _decode(folder, files), quick=True)
    else:
        with _cache(folder, _listing(files)) as (kept, keep):
            data = kept and _as_data(name, files, kept)
            # A file that was damaged since is decoded anew: nothing else would show it.
            if data is None or data.fingerprint != kept["fingerprint"]:
                kept = _decode(folder, files)
                data = _as_data(name, files, kept)
                keep(kept | {"fingerprint": data.fingerprint})
        _say(name, kept["said"])
    if max(data.std) < HARDLY_ANY:
        warnings.warn(
            f"The training pictures of {name} are nearly one colour (standard deviation of the "
            f"channels at most {max(data.std):.4f}, pixels from 0 to 1): look at a few of them.",
            stacklevel=3,
        )
    return data


def _as_data(name: str, files: dict[str, _Files], kept: dict[str, Any], **more: Any) -> ImageData:
    sets = [ImageSet(kept[f"{split}_images"], kept[f"{split}_labels"]) for split in SPLITS]
    return image_data(name, *sets, tuple(files["train"]), **more)


def _some(files: _Files, number: int) -> _Files:
    """About ``number`` of the files, as many of each class as there are and from all over it."""
    each = max(1, number // len(files))
    return {
        name: [entries[i * len(entries) // each] for i in range(each)]
        if len(entries) > each
        else entries
        for name, entries in files.items()
    }


def _say(name: str, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        print(f"{name}: {sentence}", file=sys.stderr)


def _census(
    files: dict[str, _Files], ignored: dict[str, _Ignored], *, known: bool
) -> Iterator[str]:
    """How many pictures each class gave, unless that is ``known``, and what was left out."""
    numbers = {split: [len(entries) for entries in files[split].values()] for split in SPLITS}
    if not known and len(files["train"]) <= 12:
        both = zip(files["train"], *numbers.values(), strict=True)
        classes = ", ".join(f"{name} {train}/{test}" for name, train, test in both)
        yield f"training/test pictures of each class: {classes}."
    elif not known:
        spans = {split: f"{min(counts)} to {max(counts)}" for split, counts in numbers.items()}
        yield (
            f"{len(files['train'])} classes of {spans['train']} training and {spans['test']} test "
            "pictures."
        )
    for split, left in ignored.items():
        if left.loose:
            yield (
                f"{left.loose} pictures in {split}/ itself are left out; put them into the folder "
                "of their class."
            )
        if left.nested:
            places = ", ".join(f"{split}/{place}" for place in [*left.nested][:3])
            more = " and others" if len(left.nested) > 3 else ""
            yield (
                f"{left.nested.total()} pictures one folder too deep are left out ({places}{more})"
                "; move them up into their class."
            )
        if left.other:
            kinds = ", ".join(f"{n} {ending or 'without'}" for ending, n in left.other.items())
            yield f"files in {split}/ that are not read as pictures, by ending: {kinds}."


def _folder_name(folder: Path, files: dict[str, _Files]) -> str:
    numbers = tuple(sum(map(len, files[split].values())) for split in SPLITS)
    if tuple(files["train"]) == CIFAR10_CLASSES and numbers == (50_000, 10_000):
        names = (name.lower() for split in SPLITS for f in files[split].values() for name, *_ in f)
        if all(name.endswith((".jpg", ".jpeg")) for name in names):
            return JPEG_COPY
    # A history is UTF-8; the name of a folder need not be.
    return os.fsencode(folder.resolve().name).decode(errors="backslashreplace")


def _list_files(folder: Path) -> tuple[_Files, _Ignored]:
    if not folder.is_dir():
        around = folder.parent.iterdir() if folder.parent.is_dir() else ()
        deeper = [place for place in around if (place / folder.name).is_dir()]
        hint = f" Did you mean {deeper[0]}?" if len(deeper) == 1 else ""
        raise ValueError(
            f"{folder} does not exist. A folder of pictures needs train/<class>/ and test/<class>/ "
            f"with the same classes in both.{hint}"
        )
    found: _Files = {}
    ignored = _Ignored()
    for directory in sorted(folder.iterdir()):
        if directory.name.startswith("."):
            continue
        if not directory.is_dir():
            if directory.name.lower().endswith(SUFFIXES):
                ignored.loose += 1
            elif not directory.exists():  # a class, as likely as not, on a disk that is not there
                raise ValueError(
                    f"{directory} is a link that leads nowhere ({directory.readlink()}). Mend "
                    "it, or delete it in both train and test."
                )
            continue
        entries = list(_pictures_in(directory, ignored))
        if not entries:
            deeper = [place for place in ignored.nested if place.startswith(f"{directory.name}/")]
            way_out = (
                f"They lie one folder too deep, in {folder / deeper[0]}: move them up"
                if deeper
                else "Put some in"
            )
            raise ValueError(
                f"{directory} holds no pictures ({', '.join(SUFFIXES)}). {way_out}, or delete "
                "this class in both train and test."
            )
        # macOS and Linux may spell one name in two ways, é as one character or as e and an accent.
        name = unicodedata.normalize("NFC", _readable(directory))
        found[name] = sorted(found.get(name, []) + entries)
    if not found:
        what = f"holds {ignored.loose} pictures but no class" if ignored.loose else "is empty"
        raise ValueError(f"{folder} {what}: it needs one folder for each class, with pictures.")
    return dict(sorted(found.items())), ignored


def _readable(directory: Path) -> str:
    """The folder's name. Raises ``ValueError`` if it cannot be printed or kept in a file."""
    try:
        directory.name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The name of the folder {os.fsencode(directory)!r} is no UTF-8, and it names a class; "
            "rename it."
        ) from error
    return directory.name


def _pictures_in(directory: Path, ignored: _Ignored) -> Iterator[_Entry]:
    with os.scandir(directory) as entries:  # a Path for each of many files would take seconds
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _SYSTEM_FILES:
                continue
            if entry.is_dir():
                deeper = _count_pictures(entry.path)
                if deeper:
                    ignored.nested[f"{directory.name}/{entry.name}"] += deeper
            elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                status = entry.stat()
                times = status.st_mtime_ns, status.st_ctime_ns
                yield f"{directory.name}/{entry.name}", status.st_size, *times
            else:
                ignored.other[Path(entry.name).suffix.lower()] += 1


def _count_pictures(folder: str) -> int:
    return sum(
        name.lower().endswith(SUFFIXES) and not name.startswith(".")
        for _, _, names in os.walk(folder)
        for name in names
    )


def _decode(folder: Path, files: dict[str, _Files]) -> dict[str, Any]:
    """All pictures as tensors of one size, ``{train,test}_{images,labels}``, and what to say."""
    paths = {
        split: [
            f"{folder}/{split}/{entry[0]}" for entries in files[split].values() for entry in entries
        ]
        for split in SPLITS
    }
    # Nearly always all pictures have the first one's size: then each file is opened only once.
    with decoding.opened(paths["train"][0]) as picture:
        first = decoding.look(picture, paths["train"][0]).size
    size = first if max(first) <= LARGEST_KEPT else None
    images, looks = {}, {}
    for split in SPLITS:
        images[split], looks[split] = _read_all(paths[split], size, f"{folder.name}/{split}")
    everything = [seen for split in SPLITS for seen in looks[split]]
    every_path = [path for split in SPLITS for path in paths[split]]
    whites = decoding.white_points(zip(every_path, everything, strict=True))
    sizes = {seen.size for seen in everything}
    fit = sizes != {size}
    if fit:
        size = (min(int(median(min(s.size) for s in looks["train"])), LARGEST_MADE),) * 2
    if fit or whites:
        for split in SPLITS:
            images[split] = None  # the first attempt's memory is needed for the second
            name = f"{folder.name}/{split}"
            images[split], _ = _read_all(paths[split], size, name, whites, fit=fit)
    tensors: dict[str, Any] = {f"{split}_images": images[split] for split in SPLITS}
    for split in SPLITS:
        numbers = torch.tensor([len(entries) for entries in files[split].values()])
        tensors[f"{split}_labels"] = torch.arange(len(numbers)).repeat_interleave(numbers)
    return tensors | {"said": list(_changes(everything, size if fit else None, whites))}


def _changes(
    looks: Sequence[Look], size: tuple[int, int] | None, whites: dict[str, float]
) -> Iterator[str]:
    """What was done to the pictures: brought to ``size``, to 8 bits, to the first of several."""
    if size:
        axes = zip(*(seen.size for seen in looks), strict=True)
        spans = " × ".join(f"{min(axis)}–{max(axis)}" for axis in axes)
        cropped = sum(seen.height != seen.width for seen in looks)
        yield (
            f"pictures of {spans} pixels (height × width) are cropped to a centred square and "
            f"resized to {size[0]} × {size[1]}; {cropped} of {len(looks)} are no squares and lose "
            "their edges."
        )
    for kind, white in whites.items():
        same = [seen.peak for seen in looks if seen.kind == kind]
        yield (
            f"{len(same)} pictures hold more than 8 bits a value; the largest is {max(same):g}, "
            f"and {white:g} is taken for white."
        )
    if several := sum(seen.several for seen in looks):
        yield f"{several} files hold several pictures; the first of each is taken."


def _read_all(
    paths: list[str],
    size: tuple[int, int] | None,
    name: str,
    whites: dict[str, float] | None = None,
    fit: bool = False,
) -> tuple[torch.Tensor, list[Look]]:
    """Images ``(N, 3, *size)`` and what each file is like.

    Left out are those of another size, unless they are to ``fit``, and, without ``whites``, those
    whose values take more than 8 bits.
    """
    images = torch.empty(len(paths), 3, *(size or (0, 0)), dtype=torch.uint8)
    pixels = images.numpy()

    def read(numbers: range) -> list[Look]:
        looks = []
        for number in numbers:
            with decoding.opened(paths[number]) as picture:
                looks.append(decoding.look(picture, paths[number]))
                if (fit or looks[-1].size == size) and (whites or not looks[-1].kind):
                    pixels[number] = decoding.to_rgb(picture, *size, whites or {}).transpose(
                        2, 0, 1
                    )
        return looks

    blocks = [range(start, min(start + 100, len(paths))) for start in range(0, len(paths), 100)]
    looks: list[Look] = []
    with (
        ThreadPoolExecutor(settings.physical_cores()) as pool,
        bar(len(paths), f"decoding {name}", unit="image", leave=False, delay=1) as progress,
    ):
        try:
            for block in pool.map(read, blocks):
                looks += block
                progress.update(len(block))
        except BaseException:  # one broken picture, or Ctrl+C: the rest need not be read
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return images, looks


def _listing(files: dict[str, _Files]) -> str:
    """Changes whenever a file is added, removed, renamed or written."""
    limits = f"{_CACHE_VERSION} {decoding.SMALLEST} {LARGEST_KEPT} {LARGEST_MADE}"
    digest = hashlib.sha256(limits.encode())
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
            stack.enter_context(locked(path.with_suffix(".lock"), f"is decoding {folder}"))
            keep = functools.partial(_write_cache, path, key)
        except OSError as problem:  # read-only
            keep = functools.partial(_warn_unkept, path, str(problem))
        yield _read_cache(path, key), keep


def _read_cache(path: Path, key: str) -> dict[str, Any] | None:
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
    return f"{folder.name}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}"
