"""What is counted, and how a call is tried."""

from __future__ import annotations

import contextlib
import io
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable

FAILURES = ("traceback", "silent", "lost")


class Tally:
    """Counts cases and failures; keeps a line on each failure.

    There are to be ``number`` cases, as far as ``seconds`` allow.
    """

    def __init__(self, name: str, number: int, seconds: float) -> None:
        self.name, self.number, self.end = name, number, time.monotonic() + seconds
        self.counts, self.lines = Counter(), []

    @property
    def left(self) -> int:
        """How many cases are still to come."""
        return self.number - self.counts.total() if time.monotonic() < self.end else 0

    def add(self, outcome: str, line: str = "") -> None:
        """One case more; ``outcome`` is ``fine`` or one of ``FAILURES``."""
        self.counts[outcome] += 1
        if outcome != "fine":
            self.lines.append(f"  {outcome}: {line}")

    def report(self) -> bool:
        """Print the figures; whether all went well."""
        bad = ", ".join(f"{self.counts[kind]} {kind}" for kind in FAILURES)
        print(f"{self.name}: {self.counts.total()} cases, {bad}", *self.lines, sep="\n", flush=True)
        return not self.lines


class Screen(io.StringIO):
    """Takes what is printed; as a terminal it is one in which bars move."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        """Whether this is to pass for a terminal."""
        return self.terminal


def attempt(
    action: Callable[[], object], errors: io.StringIO | None = None
) -> tuple[object, BaseException | None]:
    """What ``action`` returned, and what it raised; ``errors`` takes what it says on stderr."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors or io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            return action(), None
        except (Exception, SystemExit) as error:
            return None, error


def place_of(error: BaseException) -> str:
    """An error in a line, with the last line of the course's own code that it went through."""
    here = [f for f in traceback.extract_tb(error.__traceback__) if "common" in f.filename]
    where = f" ({here[-1].name}, line {here[-1].lineno})" if here else ""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}{where}"
