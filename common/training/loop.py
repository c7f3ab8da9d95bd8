"""The training loop of the course: a recipe in, a trained model and its history out.

>>> recipe = Recipe(epochs=20, seed=1)
>>> data = load_images("cifar10")
>>> model = seeded_model("course", "batch", data, seed=1)
>>> history = fit(model, data, recipe)
"""

from __future__ import annotations

import math
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from common import settings
from common.data import Batches
from common.settings import device_name
from common.training.acceleration import Acceleration
from common.training.evaluation import are_probabilities, check_shape, evaluate
from common.training.history import Diverged, History, Interrupted, Score, epoch_row
from common.training.progress import Overview, Watcher
from common.training.recipes import Recipe
from common.training.state import TrainingState

if TYPE_CHECKING:
    from common.data import ImageData, ImageSet

GLANCE = 2000  # test images that a brief run looks at on the way


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
    from common.networks import build

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
    brief: bool = False,
    whole: Overview | None = None,
) -> History:
    """Train ``model`` on ``data.train`` and evaluate it on ``data.test`` after each epoch.

    Where the recipe's first epochs show smaller images, the test images of these epochs are as
    small: batch norm's running statistics, for one, belong to the size they were collected at.

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
        brief: whether to save time with the evaluations: ``GLANCE`` test images after all epochs
            but the last, and no pass over the training images in the end.
        whole: the view of all the runs that this one is a part of.

    Raises:
        ValueError: images, labels or outputs that no network can be trained on; a network of which
            nothing learns; a batch size above the number of images; smaller images for a network
            that takes one size only; an unknown ``progress``; a checkpoint of another run, or
            damaged.
        Diverged: the training or the test loss became infinite or not a number.
        Interrupted: somebody stopped it; the message says what is kept.
    """
    data.check()
    recipe = recipe or Recipe()
    if data.quick:
        recipe = recipe.shortened()
    started = time.perf_counter()
    settings.tune_process(threads)
    device = settings.pick_device(str(device) if device else None)
    model.to(device)
    if device.type == "cpu":
        model.to(memory_format=torch.channels_last)
    batches = make_batches(model, data, recipe, device)
    check_outputs(model, batches.first()[0], len(data.classes))
    history = replace(new_history(model, data, recipe, device, network, norm), brief=brief)
    watcher = Watcher(
        progress,
        recipe,
        data,
        name=f"{network} {norm}".strip(),
        tests=[len(images) for images in tests_of(data, recipe, brief)],
        checks=0 if brief else len(data.train),
        whole=whole,
    )
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), watcher:
        torch.manual_seed(recipe.seed)
        run = TrainingState(model, recipe, steps=len(batches) * recipe.epochs)
        run.accelerate(Acceleration.chosen(), *batches.first())
        history.acceleration = str(run.acceleration)
        if checkpoint and Path(checkpoint).exists():
            run.restore(checkpoint, [history])
            watcher.skip_to(len(history.epochs))
            print(f"Goes on after epoch {len(history.epochs)} of {recipe.epochs}.", file=sys.stderr)
        started -= history.seconds
        for _ in range(len(history.epochs), recipe.epochs):
            try:
                one_epoch(run, history, batches, data, watcher)
            except KeyboardInterrupt:
                raise Interrupted(_what_is_kept(history, checkpoint)) from None
            finally:
                history.seconds = time.perf_counter() - started
            watcher.epoch_done(history)
            if checkpoint:
                run.save(checkpoint, [history])
        run.use_average()
        model.eval()
        if not brief:
            watcher.checking()
            history.train_loss, history.train_accuracy = evaluate(
                model, data.train, data, device=device, watch=watcher.tested
            )
    history.seconds = time.perf_counter() - started
    return history


def _what_is_kept(history: History, checkpoint: str | Path | None) -> str:
    """What somebody is told who has stopped the run."""
    done = len(history.epochs)
    if checkpoint and done:
        return f"Stopped. Epoch {done} is kept: run it again, and it goes on from there."
    return "Stopped. No epoch is kept: run it again, and it starts afresh."


def check_outputs(model: nn.Module, x: Tensor, classes: int) -> None:
    """Raise ``ValueError`` unless the model gives logits or log-probabilities for a batch.

    It leaves the model as it was.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            out = model(x)
    finally:
        model.train(was_training)
    check_shape(out, len(x), classes)
    if are_probabilities(out):
        raise ValueError(
            "The network's outputs are probabilities: it ends in a softmax, and the loss takes "
            "another. Leave it out, or use log_softmax."
        )


def tests_of(data: ImageData, recipe: Recipe, brief: bool) -> list[ImageSet]:
    """What each epoch is tested with."""
    few = data.test.draw(GLANCE) if brief else data.test
    return [few] * (recipe.epochs - 1) + [data.test]


def make_batches(
    model: nn.Module, data: ImageData, recipe: Recipe, device: torch.device
) -> Batches:
    """The training images, cut and augmented as the recipe says.

    Raises ``ValueError`` for a recipe with smaller images than the model takes.
    """
    only = getattr(model, "image_size", None)
    if recipe.sizes and only is not None:
        asked = ", ".join(map(str, recipe.sizes))
        raise ValueError(
            f"This network was built for images of {only}×{only} pixels and takes no others, but "
            f"the recipe's first epochs show them at {asked}: train it with "
            "sizes=() (compare: --full), or choose a network that takes any size, such as 'course'."
        )
    return Batches(
        data.train,
        data.mean,
        data.std,
        batch_size=recipe.batch_size,
        shift=recipe.shift,
        flip=recipe.flip,
        alternating=recipe.alternating,
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
        fingerprint=data.fingerprint,
        device=device_name(device),
        threads=torch.get_num_threads(),
        versions={"python": platform.python_version(), "torch": torch.__version__},
    )


def one_epoch(
    run: TrainingState,
    history: History,
    batches: Batches,
    data: ImageData,
    watcher: Watcher,
) -> None:
    """Train for one epoch, then evaluate on the test images: a row more in the history.

    Raises ``Diverged`` if either loss is no number any more.
    """
    started, epoch = time.perf_counter(), len(history.epochs) + 1
    size, device = run.recipe.size(epoch), batches.device
    watcher.training(epoch)
    run.model.train()
    # Summed on the device: reading a number from a GPU makes it wait for everything before it.
    total = torch.zeros(2, device=device)
    for x, y in batches.epoch(run.generators[0], epoch, size):
        total += run.step(x, y)
        watcher.step_done(total)
    loss, accuracy = (total / (len(batches) * batches.batch_size)).tolist()
    _stop_if_diverged(history, "training", loss)
    seconds, rate = time.perf_counter() - started, run.learning_rate()
    run.end_epoch(loss)  # which may lower the rate for the next one
    watcher.testing(epoch)
    images = tests_of(data, run.recipe, history.brief)[epoch - 1]
    test = evaluate(run.evaluated(), images, data, device=device, size=size, watch=watcher.tested)
    # The last update of an epoch shows in no training loss of its own.
    _stop_if_diverged(history, "test", test.loss)
    train = Score(loss, 100 * accuracy)
    history.epochs.append(epoch_row(epoch, rate, train, test, seconds))


def _stop_if_diverged(history: History, which: str, loss: float) -> None:
    history.failure = divergence(which, loss, len(history.epochs) + 1, history.recipe)
    if history.failure:
        raise Diverged(history)


def divergence(which: str, loss: float, epoch: int, recipe: Recipe) -> str:
    """Why a run has to end at this loss, "training" or "test"; empty if it need not."""
    if math.isfinite(loss):
        return ""
    return (
        f"The {which} loss became {loss} in epoch {epoch}. The learning rate "
        f"({recipe.learning_rate:g}) is probably too high: try a tenth of it."
    )
