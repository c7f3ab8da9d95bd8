"""How a run says where it is, and where it stands among others: live bars, or a line an epoch."""

from __future__ import annotations

import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from common.frontends import bar, in_notebook
from common.training.history import History
from common.training.recipes import Recipe

if TYPE_CHECKING:
    from common.data import ImageData

PROGRESS = ("bar", "lines", "none")
TEST_WORK = 1 / 3  # of testing with an image, in trainings with one: forward, and not backward
ROOM = 46  # characters for accuracies, in a line of 80 that also says which run it is
# Without smoothing the time left goes by the whole time so far, tests included.
_LOOK = {"bar_format": "{desc} {percentage:3.0f}%|{bar}|{remaining} left{postfix}", "smoothing": 0}
_ROW = struct.Struct("<d56s")  # of a board: how much of the run is done, and what it tells
_DONE = "{desc}: {elapsed}{postfix}"


class Overview:
    """How far several runs are, made one after the other or side by side.

    As bars it is one line: which run of how many, the time left of all, and the last test accuracy
    (in %) of every norm so far, the newest where there is no room for all.

    Args:
        progress: as ``fit`` takes it.
        names: what to call the runs.
        work: of each run, in any unit.
        board: of runs side by side: a file in which their processes tell how far they are.
    """

    def __init__(
        self,
        progress: str,
        names: Sequence[str],
        work: Sequence[float],
        *,
        board: Path | None = None,
    ) -> None:
        self.progress = _possible(progress)
        self.names, self.work, self.number = list(names), list(work), 0
        self.shares, self.told = [0.0] * len(self.names), {}
        self.board, self.bar, self.started, self.noted = board, None, time.time(), 0.0

    def __enter__(self) -> Overview:
        self.started = time.time()
        if self.board:
            self.board.write_bytes(bytes(_ROW.size * len(self.names)))
        if self.progress == "bar":
            self.bar = bar(sum(self.work), f"{len(self.names)} runs", **_LOOK)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.show()
            finished = self.number if self.board is None else sum(s >= 1 for s in self.shares)
            _close(self.bar, f"{finished} of {len(self.names)}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep the line up to date while other processes do the runs."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.5):
                self.show()

        thread = threading.Thread(target=watch, daemon=True, name="progress")
        if self.bar is not None:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            if thread.is_alive():
                thread.join()

    def member(self, number: int) -> Overview:
        """The view that the process of run ``number``, from 0, takes with it."""
        progress = "none" if self.progress == "bar" else self.progress
        mine = Overview(progress, self.names, self.work, board=self.board)
        mine.number, mine.started = number + 1, self.started
        return mine

    def begin(self, number: int) -> None:
        """Run ``number``, from 0, is the next."""
        self.number = number + 1
        self.at(0.0)

    def at(self, share: float) -> None:
        """So much of the present run is done, from 0 to 1."""
        self.shares[self.number - 1] = share
        if share == 1 or time.time() - self.noted > 0.5:
            self._note()
        self.show()

    def tell(self, accuracy: float, epoch: str = "") -> None:
        """The present run's last test accuracy, in %, and the epoch it is of."""
        self.told.pop(self.number, None)  # the newest comes last
        self.told[self.number] = f"{epoch} {accuracy:.1f}" if self.board else f"{accuracy:.1f}"
        self._note()
        self.show()

    def show(self) -> None:
        """Bring the line up to date."""
        if self.bar is None:
            return
        if self.board:
            self._look()
        self.bar.set_description_str(self.place, refresh=False)
        shown = list({self.names[n - 1]: self.told[n] for n in self.told}.items())
        shown = [f"{name} {text}" for name, text in shown]
        while len(", ".join(shown)) > ROOM and len(shown) > 1:
            del shown[0]
        self.bar.set_postfix_str(", ".join(shown), refresh=False)
        self.bar.update(self.done - self.bar.n)

    def _note(self) -> None:
        """Put this run's row on the board, if there is one that this machine can reach."""
        if not self.board:
            return
        self.noted = time.time()
        text = self.told.get(self.number, "").encode()
        with suppress(OSError), self.board.open("r+b") as file:
            file.seek(_ROW.size * (self.number - 1))
            file.write(_ROW.pack(self.shares[self.number - 1], text))

    def _look(self) -> None:
        """Read what all runs have put on the board."""
        with suppress(OSError):
            rows = list(_ROW.iter_unpack(self.board.read_bytes()))
            self.shares = [share for share, _ in rows]
            texts = [text.rstrip(b"\0").decode() for _, text in rows]
            self.told = {number: text for number, text in enumerate(texts, start=1) if text}

    @property
    def done(self) -> float:
        """The work done so far, of all runs."""
        return sum(share * work for share, work in zip(self.shares, self.work, strict=True))

    @property
    def left(self) -> str:
        """The time that all runs still take, at the pace so far."""
        if self.board:
            self._look()
        return _left(time.time() - self.started, self.done, sum(self.work))

    @property
    def place(self) -> str:
        """The present run among all, for instance ``group, 2 of 3``."""
        if not self.number:
            return f"{len(self.names)} runs"
        return f"{self.names[self.number - 1]}, {self.number} of {len(self.names)}"


class Watcher:
    """Says how a run is going: a live bar, a line an epoch, or nothing.

    Args:
        progress: as ``fit`` takes it; one that is unknown raises ``ValueError``.
        tests: how many test images are looked at after each epoch.
        checks: how many training images are looked at in the end.
        whole: the runs that this one is a part of.
    """

    def __init__(
        self,
        progress: str,
        recipe: Recipe,
        data: ImageData,
        name: str,
        *,
        tests: Sequence[int],
        checks: int = 0,
        whole: Overview | None = None,
    ) -> None:
        self.progress, self.recipe, self.tests, self.whole = (
            _possible(progress),
            recipe,
            tests,
            whole,
        )
        self.name, self.checks = name, checks
        self.batches = len(data.train) // recipe.batch_size
        shares = recipe.pixel_shares(min(data.train.images.shape[-2:]))
        # In trainings with one full image.
        self.train_work = [share * self.batches * recipe.batch_size for share in shares]
        self.test_work = [share * TEST_WORK * n for share, n in zip(shares, tests, strict=True)]
        self.total = sum(self.train_work) + sum(self.test_work) + TEST_WORK * checks
        self.bar, self.test, self.last_read = None, "", 0.0
        self.phase, self.phase_work, self.phase_steps, self.steps = "", 0.0, 1, 0
        self.before, self.first = 0.0, 0.0

    def __enter__(self) -> Watcher:
        self.started = time.perf_counter()
        if self.progress == "bar":
            self.bar = bar(self.total, self.name, leave=self.whole is None, **_LOOK)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            _close(self.bar, self.name)

    def skip_to(self, epoch: int) -> None:
        """Start after the epochs done in an earlier session, at no speed at all."""
        self.before = self.first = self._work_until(epoch)
        if self.bar is not None:
            self.bar.initial = self.bar.n = self.first
            self.bar.refresh()

    def training(self, epoch: int) -> None:
        """The steps of this epoch come now."""
        size = self.recipe.size(epoch)
        pixels = f" ({size} px)" if size else ""
        what = f"epoch {epoch}/{self.recipe.epochs}{pixels}"
        self._begin(what, self.train_work[epoch - 1], self.batches)

    def testing(self, epoch: int) -> None:
        """The test images come now."""
        what = f"testing {epoch}/{self.recipe.epochs}"
        self._begin(what, self.test_work[epoch - 1], self.tests[epoch - 1])

    def checking(self) -> None:
        """The training images come once more, to be tested with."""
        self._begin("train accuracy", TEST_WORK * self.checks, self.checks)

    def step_done(self, total: torch.Tensor) -> None:
        """A step of training; twice a second loss and accuracy are read from the device, too."""
        self.steps += 1
        now = time.perf_counter()
        if now - self.last_read < 0.5:
            return
        self.last_read = now
        if self.bar is not None:
            loss, accuracy = (total / (self.steps * self.recipe.batch_size)).tolist()
            self._numbers(loss, 100 * accuracy)
        self._move()

    def tested(self, images: int) -> None:
        """So many images more have been tested with."""
        self.steps += images
        self._move()

    def epoch_done(self, history: History) -> None:
        """Show what the epoch came to."""
        row, epochs = history.epochs[-1], self.recipe.epochs
        self.before, self.phase_work = self._work_until(row["epoch"]), 0.0
        self.test = f"test {row['test_accuracy']:.1f}%, "
        self._numbers(row["train_loss"], row["train_accuracy"])
        self._move()
        if self.whole is not None:
            self.whole.tell(row["test_accuracy"], f"{row['epoch']}/{epochs}")
        if self.progress == "lines":
            left = _left(
                time.perf_counter() - self.started, self._done() - self.first, self._to_do()
            )
            who = f"{self.name} seed {history.seed}"
            if self.whole is not None:
                who, left = self.whole.place, f"{left}, all {self.whole.left}"
            print(
                f"{who}, epoch {row['epoch']}/{epochs}: "
                f"loss {row['train_loss']:.3f}, test {row['test_accuracy']:.2f} %; {left}",
                flush=True,
            )

    def _work_until(self, epoch: int) -> float:
        return sum(self.train_work[:epoch]) + sum(self.test_work[:epoch])

    def _begin(self, what: str, work: float, steps: int) -> None:
        self.before += self.phase_work
        self.phase, self.phase_work, self.phase_steps, self.steps = what, work, steps, 0
        self._move()

    def _done(self) -> float:
        return self.before + self.phase_work * self.steps / self.phase_steps

    def _to_do(self) -> float:
        return self.total - self.first

    def _numbers(self, loss: float, train: float) -> None:
        # The most important first: a narrow window cuts off what comes last.
        if self.bar is not None:
            text = f"{self.test}train {train:.0f}%, loss {loss:.2f}"
            self.bar.set_postfix_str(text, refresh=False)

    def _move(self) -> None:
        if self.bar is not None:
            name = f"{self.name} {self.phase}" if self.whole is None else self.phase
            self.bar.set_description_str(name, refresh=False)
            self.bar.update(self._done() - self.bar.n)
        if self.whole is not None:
            self.whole.at(self._done() / self.total)


def _close(bar: Any, name: str) -> None:
    """Leave a bar as a line that says what came out and how long it took."""
    bar.bar_format = _DONE
    bar.set_description_str(name)
    bar.close()


def format_time(seconds: float) -> str:
    """Hours, minutes and seconds, ``3:45`` or ``1:03:45``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _left(seconds: float, done: float, total: float) -> str:
    """The time that the rest of ``total`` takes if ``done`` took so many seconds."""
    rest = seconds * (total - done) / done if done > 0 else 0.0
    return f"{format_time(rest)} left"


def _possible(progress: str) -> str:
    """The kind of progress that can be shown here: in a log, lines instead of bars."""
    if progress not in PROGRESS:
        raise ValueError(f"Unknown progress {progress!r}; choose one of {', '.join(PROGRESS)}.")
    # A log would keep every state of a bar.
    moves = in_notebook() or sys.stderr.isatty()
    return "lines" if progress == "bar" and not moves else progress
