"""Several networks trained as one, for a GPU that one small network leaves waiting.

A GPU is done with an operation of the course's network before Python has asked for the next. Here
K networks of one shape, each with its own seed, take their steps at the same moment: their
parameters are stacked to ``(K, …)`` and ``torch.vmap`` turns every operation into one over all K.
Each keeps its own weights, statistics, batches and history, and ends where it would have ended
alone, up to rounding. Dropout is the exception: it draws other masks than in a run of its own.

On a CPU, where the arithmetic and not the waiting takes the time, processes side by side are the
way (``common.experiments``).

Source: https://docs.pytorch.org/tutorials/intermediate/ensembling.html
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from common import settings
from common.training.acceleration import Acceleration
from common.training.evaluation import evaluate
from common.training.history import History, Score, epoch_row
from common.training.loop import check_outputs, divergence, make_batches, new_history, tests_of
from common.training.progress import Watcher
from common.training.recipes import Recipe
from common.training.state import TrainingState

if TYPE_CHECKING:
    from common.data import Batches, ImageData


class Stack(nn.Module):
    """K networks of the same shape as one; parameters and buffers have a first dimension of K.

    Takes K batches ``(K, N, C, H, W)``, one a network, and returns ``(K, N, classes)``. The
    networks it is made of keep their own weights; ``share_out`` gives them the stack's.

    Raises ``ValueError`` without networks, or if they differ in a layer.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        # What a module prints holds what its parameters do not show: groups, strides, dropout.
        layers = [str(network) for network in networks]
        if not layers or any(other != layers[0] for other in layers):
            raise ValueError(
                "Only networks of the same layers can be stacked, at least one; build them with "
                "the same network, norm and options."
            )
        parameters, buffers = stack_module_state(list(networks))
        # A copy of the first network holds them, so that they keep its structure and their names.
        self.networks = copy.deepcopy(networks[0])
        stacked = {name: nn.Parameter(value.detach()) for name, value in parameters.items()}
        for name, value in (stacked | buffers).items():
            path, _, leaf = name.rpartition(".")
            setattr(self.networks.get_submodule(path), leaf, value)

    def forward(self, x: Tensor) -> Tensor:
        """``(K, N, C, H, W)`` to ``(K, N, classes)``."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
            return functional_call(self.networks, (parameters, buffers), (x,))

        parameters, buffers = self.networks.named_parameters(), self.networks.named_buffers()
        return torch.vmap(one, randomness="different")(dict(parameters), dict(buffers), x)

    def share_out(self, networks: Sequence[nn.Module]) -> None:
        """Give each network its own part of the stack's parameters and buffers."""
        for k, network in enumerate(networks):
            network.load_state_dict({n: v[k] for n, v in self.networks.state_dict().items()})


def fit_together(
    models: Sequence[nn.Module],
    data: ImageData,
    recipes: Sequence[Recipe],
    *,
    network: str = "",
    norm: str = "",
    device: str | torch.device | None = None,
    threads: int | None = None,
    progress: str = "lines",
    checkpoint: str | Path | None = None,
    brief: bool = False,
) -> list[History]:
    """Train each model with its own recipe, all at once; the histories in the same order.

    As ``common.training.fit``, with these differences: the recipes may differ in their seed alone;
    a model whose loss stops being a number gets a ``failure`` in its history while the others go
    on; all ``seconds`` are a model's share of the time of all; ``progress`` is ``lines`` or
    ``none``; bfloat16 is left out with a warning, for under ``vmap`` only a part of the layers
    would use it.

    Raises:
        ValueError: another number of recipes than models; recipes that differ in more than the
            seed or are not ``stackable``; models of different layers; what ``fit`` refuses.
    """
    _check(models, recipes, progress)
    data.check()
    if data.quick:
        recipes = [recipe.shortened() for recipe in recipes]
    started = time.perf_counter()
    settings.tune_process(threads)
    device = settings.pick_device(str(device) if device else None)
    for model in models:
        model.to(device)
    batches = make_batches(models[0], data, recipes[0], device)
    check_outputs(models[0], batches.first()[0], len(data.classes))
    kind = {"together": len(models), "brief": brief}
    histories = [
        replace(new_history(model, data, recipe, device, network, norm), **kind)
        for model, recipe in zip(models, recipes, strict=True)
    ]
    watcher = Watcher(
        progress,
        recipes[0],
        data,
        name=f"{network} {norm}".strip(),
        tests=[len(images) for images in tests_of(data, recipes[0], brief)],
        checks=0 if brief else len(data.train),
    )
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), watcher:
        torch.manual_seed(recipes[0].seed)
        steps = len(batches) * recipes[0].epochs
        run = TrainingState(Stack(models).to(device), recipes[0], steps, [r.seed for r in recipes])
        run.accelerate(_acceleration(), *_first(run, batches))
        for history in histories:
            history.acceleration = str(run.acceleration)
        if checkpoint and Path(checkpoint).exists():
            run.restore(checkpoint, histories)
        started -= histories[0].seconds * len(models)
        done = max(len(history.epochs) for history in histories)
        watcher.skip_to(done)
        for epoch in range(done + 1, recipes[0].epochs + 1):
            if all(history.failure for history in histories):
                break
            _one_epoch(run, models, histories, batches, data, epoch)
            for history in histories:
                history.seconds = (time.perf_counter() - started) / len(models)
                if not history.failure:
                    watcher.epoch_done(history)
            if checkpoint:
                run.save(checkpoint, histories)
    run.use_average()
    run.model.share_out(models)
    for model, history in zip(models, histories, strict=True):
        model.eval()
        if not (brief or history.failure):
            score = evaluate(model, data.train, data, device=device)
            history.train_loss, history.train_accuracy = score
    for history in histories:
        history.seconds = (time.perf_counter() - started) / len(models)
    return histories


def _check(models: Sequence[nn.Module], recipes: Sequence[Recipe], progress: str) -> None:
    if len(models) != len(recipes) or not models:
        raise ValueError(
            f"{len(models)} models and {len(recipes)} recipes were given; give at least one model, "
            "and one recipe a model."
        )
    if any(replace(recipe, seed=recipes[0].seed) != recipes[0] for recipe in recipes):
        raise ValueError(
            "Networks trained as one share their recipe, the seed apart; train these one by one."
        )
    if not recipes[0].stackable:
        raise ValueError(
            "With the schedule 'plateau' or with RandAugment no two networks can be trained as "
            "one; train these one by one."
        )
    if progress == "bar":
        raise ValueError("One bar cannot show several runs; choose the progress lines or none.")


def _acceleration() -> Acceleration:
    """What the environment asks for, less what does not go with networks trained as one."""
    wanted = Acceleration.chosen()
    if wanted.bfloat16:
        warnings.warn(
            "Networks trained as one do without bfloat16: vmap would use it in a part of the "
            "layers only. Unset NORMS_BF16, or train them one by one (--together 1).",
            stacklevel=3,
        )
    return replace(wanted, bfloat16=False)


def _first(run: TrainingState, batches: Batches) -> tuple[Tensor, Tensor]:
    """The same batch for every network, laid out in memory like those to come."""
    shape = len(run.generators), batches.batch_size
    x, y = (torch.cat([part] * shape[0]) for part in batches.first())
    return x.unflatten(0, shape), y.view(shape)


def _one_epoch(
    run: TrainingState,
    models: Sequence[nn.Module],
    histories: Sequence[History],
    batches: Batches,
    data: ImageData,
    epoch: int,
) -> None:
    """Train all for one epoch, then evaluate each: a line more in every history, or a failure."""
    device, size = batches.device, run.recipe.size(epoch)
    started = time.perf_counter()
    run.model.train()
    total = torch.zeros(2, len(models), device=device)
    for x, y in batches.together(run.generators, epoch, size):
        total += run.step(x, y)
    means = (total / (len(batches) * batches.batch_size)).T.tolist()
    seconds = (time.perf_counter() - started) / len(models)
    run.evaluated().share_out(models)
    images = tests_of(data, run.recipe, histories[0].brief)[epoch - 1]
    for model, history, (loss, accuracy) in zip(models, histories, means, strict=True):
        history.failure = history.failure or divergence("training", loss, epoch, history.recipe)
        if history.failure:
            continue
        test = evaluate(model, images, data, device=device, size=size)
        history.failure = divergence("test", test.loss, epoch, history.recipe)
        if not history.failure:
            train = Score(loss, 100 * accuracy)
            history.epochs.append(epoch_row(epoch, run.learning_rate(), train, test, seconds))
