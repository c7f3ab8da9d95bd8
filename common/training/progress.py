"""How a run says where it is: a live bar, or a line an epoch."""

from __future__ import annotations

import sys
import time

import torch

from common.data import Batches
from common.training.history import History
from common.training.recipes import Recipe

PROGRESS = ("bar", "lines", "none")


class Watcher:
    """Says how a run is going: a live bar, a line an epoch, or nothing."""

    def __init__(self, progress: str, recipe: Recipe, batches: Batches, name: str) -> None:
        if progress not in PROGRESS:
            raise ValueError(f"Unknown progress {progress!r}; choose one of {', '.join(PROGRESS)}.")
        if progress == "bar" and not _shows_bars():
            progress = "lines"
        self.progress, self.recipe, self.batches, self.name = progress, recipe, batches, name
        self.last_read, self.steps = 0.0, 0

    def __enter__(self) -> Watcher:
        self.bar = None
        if self.progress == "bar":
            from tqdm.auto import tqdm

            images = len(self.batches) * self.batches.batch_size
            self.bar = tqdm(
                total=self.recipe.epochs * images, unit=" images", unit_scale=True, desc=self.name
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def skip_to(self, epoch: int) -> None:
        """Start the bar after the epochs done in an earlier session, at no speed at all."""
        if self.bar is not None:
            self.bar.initial = self.bar.n = epoch * len(self.batches) * self.batches.batch_size
            self.bar.refresh()

    def step_done(self, epoch: int, total: torch.Tensor) -> None:
        """Move the bar; twice a second also read loss and accuracy from the device."""
        self.steps += 1
        now = time.perf_counter()
        if self.bar is None or now - self.last_read < 0.5:
            return
        self.last_read = now
        images = self.batches.batch_size
        in_epoch = (self.steps - 1) % len(self.batches) + 1
        loss, accuracy = (total / (in_epoch * images)).tolist()
        self.bar.set_description(f"{self.name} epoch {epoch}/{self.recipe.epochs}", refresh=False)
        self.bar.set_postfix(loss=f"{loss:.3f}", train=f"{100 * accuracy:.1f}%", refresh=False)
        self._move_to((epoch - 1) * len(self.batches) * images + in_epoch * images)

    def epoch_done(self, history: History) -> None:
        row, epochs = history.epochs[-1], self.recipe.epochs
        self.steps = 0
        if self.bar is not None:
            self.bar.set_postfix(
                loss=f"{row['train_loss']:.3f}",
                train=f"{row['train_accuracy']:.1f}%",
                test=f"{row['test_accuracy']:.1f}%",
                refresh=False,
            )
            self._move_to(row["epoch"] * len(self.batches) * self.batches.batch_size)
        elif self.progress == "lines":
            print(
                f"{self.name} seed {history.seed}  epoch {row['epoch']:>2}/{epochs}  "
                f"loss {row['train_loss']:.3f}  test {row['test_accuracy']:.2f} %  "
                f"{history.seconds:.0f} s",
                flush=True,
            )

    def _move_to(self, images: int) -> None:
        self.bar.update(images - self.bar.n)
        self.bar.refresh()


def _shows_bars() -> bool:
    """Whether a bar can move here, in a terminal or a notebook; a log would keep every state."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")
