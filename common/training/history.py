"""What one run did, epoch by epoch: kept as JSON, read again by tables and figures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from common.files import write_atomically
from common.training.recipes import Recipe

COLUMNS = (
    *("epoch", "learning_rate", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    "seconds",
)


class Diverged(RuntimeError):
    """The loss stopped being a number; ``history`` has the run's epochs and the reason."""

    def __init__(self, history: History) -> None:
        super().__init__(history.failure)
        self.history = history


class Interrupted(KeyboardInterrupt):
    """Somebody stopped the run. A notebook shows the one sentence and no traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython asks an exception for this
        return [str(self)]


class Score(NamedTuple):
    """Mean cross-entropy (nats an image) and accuracy (%)."""

    loss: float
    accuracy: float


@dataclass
class History:
    """What one run did, from the recipe to the last accuracy; saved as JSON.

    Attributes:
        network, norm, parameters: what was trained.
        recipe: how, seed included.
        dataset: the title of the data set, as figures and tables print it.
        quick: whether the run was made in quick mode (its figures mean nothing then).
        train_images, test_images: how many images.
        fingerprint: of the images, labels and class names (``ImageData.fingerprint``); empty in
            runs that were made before it was kept.
        device, threads, versions: on what.
        acceleration: ``compiled``, ``bfloat16`` or both (see ``acceleration.py``), else empty.
        together: how many networks were trained as one (see ``together.py``); all times are
            then this one's share.
        brief: whether all epochs but the last were tested with 2,000 of the test images only, and
            the training images not at all (``train_accuracy`` is None then).
        epochs: one dictionary an epoch: ``epoch`` (from 1), ``learning_rate`` (at its end),
            ``train_loss`` and ``train_accuracy`` (running averages over augmented batches while
            the weights move), ``test_loss`` and ``test_accuracy`` (evaluation mode, after the
            epoch, on images of the size that was trained on in it), ``seconds`` (training alone).
            Accuracies are in %.
        train_loss, train_accuracy: of the whole training set, in evaluation mode and without
            augmentation, after the last epoch: the "train accuracy" of every table.
        seconds: of the whole run, evaluations included.
        failure: why the run ended early, or empty.
    """

    network: str
    norm: str
    parameters: int
    recipe: Recipe
    dataset: str
    quick: bool = False
    train_images: int = 0
    test_images: int = 0
    fingerprint: str = ""
    device: str = "cpu"
    threads: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    acceleration: str = ""
    together: int = 1
    brief: bool = False
    epochs: list[dict[str, float]] = field(default_factory=list)
    train_loss: float | None = None
    train_accuracy: float | None = None
    seconds: float = 0.0
    failure: str = ""

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.recipe.seed

    @property
    def finished(self) -> bool:
        """Whether the run reached its last epoch."""
        return len(self.epochs) == self.recipe.epochs and not self.failure

    @property
    def test_accuracy(self) -> float:
        """Test accuracy after the last epoch, in %: the figure every table reports."""
        if not self.epochs:
            raise ValueError("This history holds no epoch yet; train the network first.")
        return self.epochs[-1]["test_accuracy"]

    def column(self, name: str) -> list[float]:
        """One value an epoch, for instance ``column("test_accuracy")``."""
        if self.epochs and name not in self.epochs[0]:
            raise ValueError(f"No column {name!r}; there are {', '.join(self.epochs[0])}.")
        return [epoch[name] for epoch in self.epochs]

    def first_epoch_at(self, accuracy: float) -> int | None:
        """The first epoch whose test accuracy is at least ``accuracy`` %, or None."""
        reached = (e["epoch"] for e in self.epochs if e["test_accuracy"] >= accuracy)
        return int(epoch) if (epoch := next(reached, None)) is not None else None

    def other_images(self, dataset: str, train: int, test: int, fingerprint: str) -> str:
        """How the images of this run differ from those described, as ``there; here``; or empty.

        A run without a fingerprint is told by its title and the numbers of its images alone.
        """
        there = f"{self.dataset}, {self.train_images} to train on, {self.test_images} to test"
        here = f"{dataset}, {train} to train on, {test} to test"
        if there != here:
            return f"{there}; here: {here}"
        if self.fingerprint and fingerprint and self.fingerprint != fingerprint:
            return f"{there}; here as many, but their pixels, labels or class names differ"
        return ""

    def save(self, path: str | Path) -> Path:
        """Write JSON; a reader never sees half a file."""
        return write_atomically(path, self.to_json())

    def to_json(self) -> str:
        """The history as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> History:
        """The history in JSON text that ``to_json`` wrote."""
        values = json.loads(text)
        history = cls(**values | {"recipe": Recipe(**values["recipe"])})
        for row in history.epochs:
            if missing := [name for name in COLUMNS if not isinstance(row.get(name), int | float)]:
                raise ValueError(f"an epoch lacks {', '.join(missing)}")
        return history

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read a history that ``save`` wrote. Raises ``ValueError`` if the file is no such one."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} holds no history of this course ({error}); delete it or name another file."
            ) from error


def epoch_row(
    epoch: int, learning_rate: float, train: Score, test: Score, seconds: float
) -> dict[str, float]:
    """One epoch's line of a history."""
    values = (epoch, learning_rate, *train, *test, seconds)
    return dict(zip(COLUMNS, values, strict=True))
