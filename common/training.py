"""The training loop of the course: a recipe in, a trained model and its history out.

>>> recipe = Recipe(epochs=20, seed=1)
>>> data = load_images("cifar10")
>>> model = seeded_model("course", "batch", data, seed=1)
>>> history = fit(model, data, recipe)
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from common import settings
from common.acceleration import Acceleration, Forward, compile_or_explain, make_forward
from common.batches import Batches, Normaliser
from common.optimisers import (
    OPTIMISERS,
    SCHEDULES,
    cycled_momentum,
    learning_rate_factor,
    make_optimisers,
)

if TYPE_CHECKING:
    from common.data import ImageData, ImageSet


PROGRESS = ("bar", "lines", "none")


class Diverged(RuntimeError):
    """The loss stopped being a number; ``history`` has the run's epochs and the reason."""

    def __init__(self, history: History) -> None:
        super().__init__(history.failure)
        self.history = history


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a network is trained, apart from the images and the network.

    Attributes:
        optimiser: ``sgd``, ``adam``, ``adamw`` or ``muon``.
        learning_rate: its highest value during the run.
        schedule: ``one-cycle``, ``one-cycle-cosine``, ``cosine``, ``constant`` or ``plateau`` (see
            ``optimisers``).
        warmup: share of the run over which the learning rate rises, from 0 to below 1.
        patience: with ``plateau``, epochs without a lower training loss that are put up with
            before the learning rate is divided by ten.
        epochs: passes over the training images.
        batch_size: images a step.
        momentum: of ``sgd`` and ``muon``.
        nesterov: whether the momentum of ``sgd`` is Nesterov's.
        weight_decay: on weights of two dimensions or more (``adam``: on all parameters; ``muon``:
            on those that Muon itself trains).
        label_smoothing: share of the target spread evenly over all classes, from 0 to below 1.
        shift: largest random shift, in pixels, of the training images (edges are reflected).
        flip: whether half the training images are mirrored.
        augmentation: ``basic`` (shift and flip) or ``randaugment`` (both, and RandAugment, Cubuk
            et al., 2020, image by image: slow).
        average: smoothing of the weights (exponential moving average) over the last quarter of
            the run; 0 is off, 0.999 averages over about 1,000 steps.
        side_learning_rate: with ``muon``, of the parameters that AdamW trains.
        seed: of the initial weights, the order of the images, their augmentation and dropout.

    Raises ``ValueError`` naming the attribute that is out of range.
    """

    optimiser: str = "sgd"
    learning_rate: float = 0.2
    schedule: str = "one-cycle"
    warmup: float = 0.2
    patience: int = 10
    epochs: int = 20
    batch_size: int = 128
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 3e-4
    label_smoothing: float = 0.0
    shift: int = 2
    flip: bool = True
    augmentation: str = "basic"
    average: float = 0.0
    side_learning_rate: float = 3e-3
    seed: int = 1

    def __post_init__(self) -> None:
        allowed = {"optimiser": OPTIMISERS, "schedule": SCHEDULES}
        allowed["augmentation"] = ("basic", "randaugment")
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                given = getattr(self, name)
                raise ValueError(f"Unknown {name} {given!r}; choose one of {', '.join(values)}.")
        bounds: list[tuple[str, Callable[[Any], bool], str]] = [
            ("learning_rate", lambda v: v > 0, "above 0"),
            ("side_learning_rate", lambda v: v > 0, "above 0"),
            ("warmup", lambda v: 0 <= v < 1, "from 0 to below 1"),
            ("patience", lambda v: v >= 0, "0 or more"),
            ("epochs", lambda v: v >= 1, "1 or more"),
            ("batch_size", lambda v: v >= 1, "1 or more"),
            ("momentum", lambda v: 0 <= v < 1, "from 0 to below 1"),
            ("weight_decay", lambda v: v >= 0, "0 or more"),
            ("label_smoothing", lambda v: 0 <= v < 1, "from 0 to below 1"),
            ("average", lambda v: 0 <= v < 1, "from 0 to below 1"),
        ]
        for name, is_fine, words in bounds:
            if not is_fine(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {words}.")

    @property
    def stackable(self) -> bool:
        """Whether networks that share the recipe can be trained as one (``common.together``).

        Not where one network's own loss decides (``plateau``), nor with ``randaugment``, which
        draws from one source of chance for all.
        """
        return self.schedule != "plateau" and self.augmentation != "randaugment"

    def shortened(self) -> Recipe:
        """The same recipe for quick mode: two epochs and small batches."""
        return replace(self, epochs=min(self.epochs, 2), batch_size=min(self.batch_size, 32))


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
        device, threads, versions: on what.
        acceleration: ``compiled``, ``bfloat16`` or both (see ``common.acceleration``), else empty.
        together: how many networks were trained as one (see ``common.together``); all times are
            then this one's share.
        epochs: one dictionary an epoch: ``epoch`` (from 1), ``learning_rate`` (at its end),
            ``train_loss`` and ``train_accuracy`` (running averages over augmented batches while
            the weights move), ``test_loss`` and ``test_accuracy`` (evaluation mode, after the
            epoch), ``seconds`` (training alone). Accuracies are in %.
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
    device: str = "cpu"
    threads: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    acceleration: str = ""
    together: int = 1
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
        return len(self.epochs) == self.recipe.epochs and self.train_accuracy is not None

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
        return cls(**values | {"recipe": Recipe(**values["recipe"])})

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read a history that ``save`` wrote. Raises ``ValueError`` if the file is no such one."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} holds no history of this course ({error}); delete it or name another file."
            ) from error


def write_atomically(path: str | Path, text: str) -> Path:
    """Write ``text`` to ``path`` through a temporary file, making folders as needed."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file to write to, which takes the place of ``path`` once that has worked.

    Folders are made as needed. Raises ``OSError`` naming ``path`` if anything goes wrong: PyTorch
    and safetensors have errors of their own kinds for a full disk.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except Exception as error:
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def seeded_model(
    network: str,
    norm: str,
    data: ImageData,
    seed: int,
    *,
    builder: Callable[..., nn.Module] | None = None,
    **options: Any,
) -> nn.Module:
    """``models.build`` for these images, its initial weights drawn from ``seed``.

    ``builder`` takes the place of ``models.build`` for a network that the registry does not hold.
    The caller's own random state is left as it was.
    """
    from common.models import build

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # manual_seed would seed every GPU as well
        return (builder or partial(build, network))(
            norm=norm,
            classes=len(data.classes),
            image_size=data.train.images.shape[-1],
            **options,
        )


def fit(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe | None = None,
    *,
    network: str = "",
    norm: str = "",
    device: str | torch.device | None = None,
    threads: int | None = None,
    progress: str = "bar",
    checkpoint: str | Path | None = None,
) -> History:
    """Train ``model`` on ``data.train`` and evaluate it on ``data.test`` after each epoch.

    The model is trained in place, ends on the training device in evaluation mode and may return
    logits or log-probabilities ``(N, classes)``: cross-entropy is the same for both. The
    environment may ask for a compiled step or for bfloat16 (see ``common.settings``).

    Args:
        model: takes float32 images ``(N, 3, H, W)``.
        data: images, labels and the mean and standard deviation to normalise with.
        recipe: how to train; the default recipe if None. In quick mode it is shortened.
        network, norm: names for the history and the bar.
        device: ``cpu``, ``cuda``, ``mps``; picked automatically if None.
        threads: of the CPU (default: the physical cores, see ``settings.threads``).
        progress: ``bar`` (live; in a log, which no bar can move in, lines), ``lines`` (one an
            epoch, for runs side by side) or ``none``.
        checkpoint: a file in which the state is kept after each epoch. If it exists, the run goes
            on from it, to the same result as an uninterrupted run. It stays when the run has
            ended, so that nothing is lost until its results are kept: delete it then.

    Raises:
        ValueError: a batch size above the number of images; an unknown ``progress``; a checkpoint
            of another run.
        Diverged: the loss became infinite or not a number.
    """
    recipe = recipe or Recipe()
    if data.quick:
        recipe = recipe.shortened()
    started = time.perf_counter()
    settings.tune_process(threads)
    device = settings.pick_device(str(device) if device else None)
    model.to(device)
    if device.type == "cpu":
        model.to(memory_format=torch.channels_last)
    batches = make_batches(data, recipe, device)
    history = new_history(model, data, recipe, device, network, norm)
    watcher = _Watcher(progress, recipe, batches, name=f"{network} {norm}".strip())
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), watcher:
        torch.manual_seed(recipe.seed)
        run = _Run(model, recipe, steps=len(batches) * recipe.epochs)
        run.accelerate(Acceleration.chosen(), *batches.first())
        history.acceleration = str(run.acceleration)
        if checkpoint and Path(checkpoint).exists():
            run.restore(checkpoint, [history])
            watcher.skip_to(len(history.epochs))
        started -= history.seconds
        for _ in range(len(history.epochs), recipe.epochs):
            try:
                _one_epoch(run, history, batches, data, device, watcher)
            finally:
                history.seconds = time.perf_counter() - started
            watcher.epoch_done(history)
            if checkpoint:
                run.save(checkpoint, [history])
    run.use_average()
    model.eval()
    history.train_loss, history.train_accuracy = evaluate(model, data.train, data, device=device)
    history.seconds = time.perf_counter() - started
    return history


def make_batches(data: ImageData, recipe: Recipe, device: torch.device) -> Batches:
    """The training images, cut and augmented as the recipe says."""
    return Batches(
        data.train,
        data.mean,
        data.std,
        batch_size=recipe.batch_size,
        shift=recipe.shift,
        flip=recipe.flip,
        randaugment=recipe.augmentation == "randaugment",
        device=device,
    )


def new_history(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe,
    device: torch.device,
    network: str,
    norm: str,
) -> History:
    """The history of a run that has not taken a step yet."""
    return History(
        network=network,
        norm=norm,
        parameters=sum(p.numel() for p in model.parameters()),
        recipe=recipe,
        dataset=data.title,
        quick=data.quick,
        train_images=len(data.train),
        test_images=len(data.test),
        device=device_name(device),
        threads=torch.get_num_threads(),
        versions={"python": platform.python_version(), "torch": torch.__version__},
    )


def _one_epoch(
    run: _Run,
    history: History,
    batches: Batches,
    data: ImageData,
    device: torch.device,
    watcher: _Watcher,
) -> None:
    """Train for one epoch, then evaluate on the test images: a row more in the history.

    Raises ``Diverged`` if the loss is no number any more.
    """
    started, epoch = time.perf_counter(), len(history.epochs) + 1
    run.model.train()
    # Summed on the device: reading a number from a GPU makes it wait for everything before it.
    total = torch.zeros(2, device=device)
    for x, y in batches.epoch(run.generators[0]):
        total += run.step(x, y)
        watcher.step_done(epoch, total)
    loss, accuracy = (total / (len(batches) * batches.batch_size)).tolist()
    if reason := divergence(loss, epoch, run.recipe):
        history.failure = reason
        raise Diverged(history)
    seconds = time.perf_counter() - started
    run.end_epoch(loss)
    test = evaluate(run.evaluated(), data.test, data, device=device)
    train = Score(loss, 100 * accuracy)
    history.epochs.append(epoch_row(epoch, run.learning_rate(), train, test, seconds))


def divergence(loss: float, epoch: int, recipe: Recipe) -> str:
    """Why a run has to end at this training loss, and what may help; empty if it need not."""
    if math.isfinite(loss):
        return ""
    return (
        f"The training loss became {loss} in epoch {epoch}. The learning rate "
        f"({recipe.learning_rate:g}) is probably too high: try a tenth of it."
    )


def epoch_row(
    epoch: int, learning_rate: float, train: Score, test: Score, seconds: float
) -> dict[str, float]:
    """One epoch's line of a history."""
    return {
        "epoch": epoch,
        "learning_rate": learning_rate,
        "train_loss": train.loss,
        "train_accuracy": train.accuracy,
        "test_loss": test.loss,
        "test_accuracy": test.accuracy,
        "seconds": seconds,
    }


# What a checkpoint and the run that takes it up must agree on.
_SAME_RUN = ("network", "norm", "parameters", "recipe", "dataset", "train_images")
_SAME_RUN += ("acceleration", "together")


class _Run:
    """What changes while a network is trained, so that it can be saved and taken up again.

    ``seeds`` are given for a model that stacks several networks (``common.together``), one each.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, steps: int, seeds: Sequence[int] | None = None
    ) -> None:
        self.model, self.recipe, self.steps, self.done = model, recipe, steps, 0
        self.stacked = seeds is not None
        self.generators = [torch.Generator().manual_seed(s) for s in seeds or [recipe.seed]]
        self.optimisers = make_optimisers(
            model,
            recipe.optimiser,
            recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            side_learning_rate=recipe.side_learning_rate,
            stacked=self.stacked,
        )
        self.full_rates = [[g["lr"] for g in o.param_groups] for o in self.optimisers]
        self.plateaus = [
            torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=recipe.patience)
            for o in self.optimisers
            if recipe.schedule == "plateau"
        ]
        self.average: nn.Module | None = None
        self.acceleration = Acceleration()
        self.forward = self._forward(bfloat16=False)

    def _forward(self, bfloat16: bool) -> Forward:
        smoothing = self.recipe.label_smoothing
        return make_forward(self.model, smoothing, bfloat16, stacked=self.stacked)

    def accelerate(self, wanted: Acceleration, x: torch.Tensor, y: torch.Tensor) -> None:
        """Make the steps to come cheaper, as far as that works here with the batch ``x, y``."""
        forward = self._forward(wanted.bfloat16)
        compiled = compile_or_explain(forward, self.model, x, y) if wanted.compiled else None
        self.forward = compiled or forward
        self.acceleration = replace(wanted, compiled=compiled is not None)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One update; returns summed loss and number right, both still on the device."""
        if self.recipe.schedule != "plateau":
            self._set_learning_rate()
        if self.acceleration.compiled:
            torch.compiler.cudagraph_mark_step_begin()  # what the last step returned has been used
        loss, right = self.forward(x, y)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.sum().backward()
        for optimiser in self.optimisers:
            optimiser.step()
        self.done += 1
        if self.recipe.average and self.done > 0.75 * self.steps:
            self._update_average()
        with torch.no_grad():
            return torch.stack([loss * y.shape[-1], right])

    def _set_learning_rate(self) -> None:
        recipe, progress = self.recipe, self.done / self.steps
        factor = learning_rate_factor(recipe.schedule, progress, recipe.warmup)
        momentum = cycled_momentum(recipe.schedule, progress, recipe.warmup)
        for optimiser, rates in zip(self.optimisers, self.full_rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
                if momentum is not None and "momentum" in group:
                    group["momentum"] = momentum

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            self.average = copy.deepcopy(self.model)
            return
        pairs = zip(
            self.average.state_dict().values(), self.model.state_dict().values(), strict=True
        )
        for mean, value in pairs:
            if mean.is_floating_point():
                mean.lerp_(value, 1 - self.recipe.average)
            else:
                mean.copy_(value)

    def learning_rate(self) -> float:
        return self.optimisers[0].param_groups[0]["lr"]

    def end_epoch(self, loss: float) -> None:
        for plateau in self.plateaus:
            plateau.step(loss)

    def evaluated(self) -> nn.Module:
        """The network to evaluate now: the average of the weights once there is one."""
        return self.average or self.model

    def use_average(self) -> None:
        if self.average is not None:
            self.model.load_state_dict(self.average.state_dict())

    def _gpu(self) -> torch.device | None:
        """The CUDA device that the model is on, whose random state is the run's."""
        device = next(self.model.parameters()).device
        return device if device.type == "cuda" else None

    def save(self, path: str | Path, histories: Sequence[History]) -> None:
        """Keep everything the rest of the run depends on, in one file that is never half there."""
        state = {
            "histories": [history.to_json() for history in histories],
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "plateaus": [p.state_dict() for p in self.plateaus],
            "done": self.done,
            "generators": [generator.get_state() for generator in self.generators],
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(gpu) if (gpu := self._gpu()) else None,
        }
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def restore(self, path: str | Path, histories: Sequence[History]) -> None:
        """Go on where ``save`` left off; ``histories`` receive the epochs done so far."""
        kept = torch.load(path, map_location="cpu", weights_only=True)
        if "histories" not in kept:
            raise ValueError(
                f"The checkpoint {path} was written by another version of the course; delete it "
                "to start afresh."
            )
        olds = [History.from_json(text) for text in kept["histories"]]
        for name in _SAME_RUN:
            there = [getattr(old, name) for old in olds]
            here = [getattr(history, name) for history in histories]
            if there != here:
                raise ValueError(
                    f"The checkpoint {path} belongs to another run: its {name} is "
                    f"{_one_or_all(there)!r}, this run's is {_one_or_all(here)!r}. "
                    "Delete the checkpoint to start afresh, or name another file."
                )
        self.model.load_state_dict(kept["model"])
        if kept["average"]:
            self.average = copy.deepcopy(self.model)
            self.average.load_state_dict(kept["average"])
        for optimiser, state in zip(self.optimisers, kept["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        for plateau, state in zip(self.plateaus, kept["plateaus"], strict=True):
            plateau.load_state_dict(state)
        self.done = kept["done"]
        for generator, state in zip(self.generators, kept["generators"], strict=True):
            generator.set_state(state)
        torch.set_rng_state(kept["random"])
        if kept["random_cuda"] is not None and (gpu := self._gpu()):
            torch.cuda.set_rng_state(kept["random_cuda"], gpu)
        for history, old in zip(histories, olds, strict=True):
            history.epochs, history.seconds = old.epochs, old.seconds
            history.failure = old.failure


def _one_or_all(values: list[Any]) -> Any:
    """The only value of a list, or the whole of it."""
    return values[0] if len(values) == 1 else values


class _Watcher:
    """Says how a run is going: a live bar, a line an epoch, or nothing."""

    def __init__(self, progress: str, recipe: Recipe, batches: Batches, name: str) -> None:
        if progress not in PROGRESS:
            raise ValueError(f"Unknown progress {progress!r}; choose one of {', '.join(PROGRESS)}.")
        if progress == "bar" and not _shows_bars():
            progress = "lines"
        self.progress, self.recipe, self.batches, self.name = progress, recipe, batches, name
        self.last_read, self.steps = 0.0, 0

    def __enter__(self) -> _Watcher:
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


def device_name(device: torch.device) -> str:
    """What a table says of the device: the GPU's name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line for line in lines if line.startswith("model name")).split(": ", 1)[1]
    return f"CPU ({model})"


def predict(
    model: nn.Module,
    images: ImageSet,
    data: ImageData,
    *,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
) -> torch.Tensor:
    """The model's outputs for ``images`` in evaluation mode: float32 ``(N, classes)`` on the CPU.

    The model is moved to ``device`` (by default it stays where it is) and its training flag is
    put back afterwards. ``batch_size`` is 250 on a CPU, where larger ones only take more memory
    than a training step, and 2,000 elsewhere.
    """
    device = torch.device(device) if device else next(model.parameters()).device
    batch_size = batch_size or (250 if device.type == "cpu" else 2000)
    model.to(device)
    normalise = Normaliser(data.mean, data.std, device)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            parts = [model(normalise(x.to(device))) for x in images.images.split(batch_size)]
            return torch.cat(parts).float().cpu()
    finally:
        model.train(was_training)


def evaluate(
    model: nn.Module,
    images: ImageSet,
    data: ImageData,
    *,
    device: str | torch.device | None = None,
) -> Score:
    """Mean cross-entropy and accuracy of ``model`` on ``images``, in evaluation mode."""
    outputs = predict(model, images, data, device=device)
    loss = F.cross_entropy(outputs, images.labels).item()
    right = (outputs.argmax(1) == images.labels).sum().item()
    return Score(loss, 100 * right / len(images.labels))
