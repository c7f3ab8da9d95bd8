"""Files that are never half there, never somebody else's, and never written by two at once."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filelock import BaseFileLock

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)


def write_atomically(path: str | Path, text: str) -> Path:
    """Write ``text`` to ``path`` through a temporary file, making folders as needed."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file to write to, which takes the place of ``path`` once that has worked.

    Folders are made as needed; what a killed process left of an earlier attempt is removed. Raises
    ``OSError`` naming ``path`` if it is there and no plain file, or if anything goes wrong: PyTorch
    and safetensors have errors of their own kinds for a full disk.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _refuse_other_than_a_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(path)
        yield temporary
        temporary.replace(path)
    except Exception as error:
        raise OSError(f"{path} could not be written: {_reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """What went wrong, without the address in PyTorch's source that it begins with."""
    text = str(error) or type(error).__name__
    if "enforce fail" in text:  # all that PyTorch says of a full disk, with a C++ stack trace
        return f"the disk is full, or the file was cut off ({text.splitlines()[0]})"
    return text


def remove_left_over(path: Path) -> None:
    """Remove the temporary files, ``.name.<number>``, of processes that are no more."""
    import psutil  # here, and filelock below, for most who import this module need neither

    for other in path.parent.glob(f".{glob.escape(path.name)}.*"):
        number = other.name.rpartition(".")[2]
        if number.isascii() and number.isdigit() and not psutil.pid_exists(int(number)):
            other.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a file that may be there, and what killed processes left of it."""
    path.unlink(missing_ok=True)
    remove_left_over(path)


def check_folder(folder: Path) -> None:
    """Make ``folder``. Raises ``OSError`` now, not hours later, if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"{folder} cannot be written to ({reason}); choose another folder."
        ) from error


def check_target(path: Path, read: Callable[[Path], Any]) -> None:
    """See that ``path`` can be written and that nothing of somebody else's is lost by it.

    What is there already must be a file that ``read`` reads without a ``ValueError``. Raises
    ``OSError`` for a folder, a device, a link or a place that cannot be written to, and
    ``ValueError`` for a file of another kind.
    """
    _refuse_other_than_a_file(path)
    if path.exists():
        try:
            read(path)
        except ValueError as error:
            raise ValueError(
                f"{path} is there already and is nothing that this command writes; it is left as "
                "it is. Name another file."
            ) from error
    check_folder(path.parent)


def check_pictures(
    folder: Path, pictures: str, results: str, read: Callable[[Path], Any] = Path.stat
) -> None:
    """See that no picture of somebody else's is to be replaced: each lies beside its results.

    ``pictures`` and ``results`` are patterns of names; a result is what ``read`` can read. Raises
    ``ValueError`` where there are pictures and no results.
    """
    there = sorted(path.name for path in folder.glob(pictures))
    if there and not any(_can_be_read(path, read) for path in folder.glob(results)):
        raise ValueError(
            f"{folder} holds {there[0]} and none of the results that belong to it; it is left as "
            "it is. Name another folder."
        )


def _can_be_read(path: Path, read: Callable[[Path], Any]) -> bool:
    try:
        read(path)
    except (ValueError, OSError):
        return False
    return True


def _refuse_other_than_a_file(path: Path) -> None:
    for is_so, kind in ((path.is_symlink, "a link"), (path.is_dir, "a folder")):
        if is_so():
            raise OSError(f"{path} is {kind}, not a file to write to; name another file.")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is a device or a pipe, not a file to write to; name another file.")


@contextlib.contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """One process at a time in this block; one that has to wait says for what.

    ``path`` is the lock's file, ``doing`` what the other process may be at, as in "is decoding
    pets". A disk without locks, as some in networks are, lets everyone in, with a warning. Raises
    ``OSError`` where nothing can be written.
    """
    from filelock import FileLock

    lock = FileLock(path)
    try:
        _wait_for(lock, doing)
    except (OSError, NotImplementedError) as error:  # the latter of filelock itself
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"{path.parent} is on a disk without locks: start no second command that writes there "
            "while one is at work.",
            stacklevel=3,
        )
    try:
        yield
    finally:
        lock.release()  # does nothing where there is no lock


def _wait_for(lock: BaseFileLock, doing: str) -> None:
    from filelock import Timeout

    try:
        lock.acquire(timeout=1)
    except Timeout:
        text = f"Waiting for another process that {doing} ({lock.lock_file}) …"
        print(text, file=sys.stderr, flush=True)
        lock.acquire()
