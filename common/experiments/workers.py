"""Processes that train: they end with the one that began them, and no run is trained twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from common.files import locked


def end_with(parent: int) -> None:
    """End this process, from now on, as soon as the process ``parent`` that began it is no more.

    A killed command cannot end its workers, and these would train on for hours, side by side with
    those of the command's next start. Does nothing in a process that another one began (on a
    cluster, or in ``parent`` itself).
    """
    name, begun_by = "end with parent", multiprocessing.parent_process()
    # A worker that was slow to start may find its parent gone already, and then has another one.
    mine = parent in (os.getppid(), begun_by and begun_by.pid)
    if not mine or any(thread.name == name for thread in threading.enumerate()):
        return
    import psutil

    def watch() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(parent)
            while os.getppid() == parent and process.is_running():  # Windows keeps the old number
                time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name=name).start()


@contextlib.contextmanager
def none_killed(goes_on: str) -> Iterator[None]:
    """Raise a plain ``OSError`` where a worker is killed; ``goes_on``: from where, if run again."""
    try:
        yield
    except BrokenProcessPool as error:
        raise OSError(
            "A process that trained was ended from outside, perhaps for lack of memory. The same "
            f"command goes on {goes_on}; with --jobs 1 it takes the least memory."
        ) from error


@contextlib.contextmanager
def alone(files: Sequence[Path]) -> Iterator[None]:
    """Keep other processes from making the same files; waits, and says so, while one does.

    Where nothing can be locked (some network disks) it lets everyone in, as ``locked`` does.
    """
    locks = [path.with_name(f".{path.name}.lock") for path in sorted(files)]
    with contextlib.ExitStack() as stack:
        for lock in locks:
            stack.enter_context(locked(lock, f"is training {lock.name[1:].split('.json')[0]}"))
        try:
            yield
        finally:
            for lock, path in zip(locks, sorted(files), strict=True):
                if path.exists():  # made: whoever waits for the lock has no more need of it
                    with contextlib.suppress(OSError):  # Windows removes no open file
                        lock.unlink()
