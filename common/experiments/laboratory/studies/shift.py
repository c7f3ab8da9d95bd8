"""Whether batch norm helps by keeping the distributions of the layers' inputs still."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.data import Batches, ImageData
from common.experiments.laboratory.bench import SGD, SGD_WORDS, bench_images, seeded
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.networks import PlainStack, ShakenBatchNorm, replace_norms
from common.training import TrainingState, evaluate

LAYER = 4  # the layer whose input is watched, of eight
EVERY = 10  # steps between two looks


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """Train the plain stack and look, every ten steps, at drift and at the loss along the step.

    ``drift``: change of the mean and deviation of each input channel of layer 5 from one step to
    the next, on the same images, in deviations. ``loss_range`` and ``gradient_change``: highest
    minus lowest loss, and largest relative change of the gradient, for half to four times the step.
    """
    split, test = bench_images(data, 10_000, 16)
    model = seeded(seed, lambda: _network(condition["norm"], len(split.classes))).to(device)
    recipe = replace(SGD, epochs=5, learning_rate=condition["rate"], seed=seed)
    recipe = recipe.shortened() if data.quick else recipe
    batches = Batches(
        split.train, split.mean, split.std, batch_size=recipe.batch_size, device=device
    )
    looks: list[tuple[float, float, float]] = []
    curve: list[float] = []
    chance = 100 / len(split.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        run = TrainingState(model, recipe, len(batches) * recipe.epochs)
        for _ in range(recipe.epochs):
            model.train()
            for step, (x, y) in enumerate(batches.epoch(run.generators[0])):
                before = _moments(model, x) if step % EVERY == 0 else None
                landscape = _landscape(model, x, y, run.learning_rate()) if before else None
                loss = run.step(x, y)[0].item()
                if not math.isfinite(loss):
                    accuracies = dict.fromkeys(("test", "validation", "mean"), chance)
                    return {**accuracies, "diverged": 1, **_medians(looks)}
                if before and landscape:
                    looks.append((_drift(before, _moments(model, x)), *landscape))
            curve.append(evaluate(model, split.test, split, device=device).accuracy)
    return {
        "test": evaluate(model, test, split, device=device).accuracy,
        "validation": curve[-1],
        "mean": fmean(curve),
        "diverged": 0,
        **_medians(looks),
    }


def _medians(looks: list[tuple[float, float, float]]) -> dict[str, float]:
    """Medians over the run: single looks of a run on its way to infinity outweigh any mean."""
    columns = map(median, zip(*looks, strict=True))
    return dict(zip(("drift", "loss_range", "gradient_change"), columns, strict=True))


def _network(norm: str, classes: int) -> nn.Module:
    model = PlainStack("none" if norm == "none" else "batch", halvings=2, classes=classes)
    if norm == "shaken":
        replace_norms(model, lambda place, shape: ShakenBatchNorm(shape[0]), 16)
    return model


@torch.no_grad()
def _moments(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel that enters layer 5, ``(C,)`` each, in train mode."""
    twin = copy.deepcopy(model)
    for layer in twin.layers[:LAYER]:
        x = layer(x)
    return x.mean((0, 2, 3)), x.std((0, 2, 3)) + 1e-6


def _drift(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> float:
    mean = (after[0] - before[0]).abs() / before[1]
    deviation = (after[1] / before[1]).log().abs()
    return (mean + deviation).mean().item()


def _landscape(model: nn.Module, x: Tensor, y: Tensor, rate: float) -> tuple[float, float]:
    """Range of the loss, and largest relative change of the gradient, along the gradient."""
    twin = copy.deepcopy(model)
    weights = list(twin.parameters())

    def look() -> tuple[float, Tensor]:
        # The same random moves for every length of the step.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            loss = F.cross_entropy(twin(x), y)
        gradient = torch.autograd.grad(loss, weights)
        return loss.item(), torch.cat([part.flatten() for part in gradient])

    start, gradient = look()
    parts = gradient.split([w.numel() for w in weights])
    losses, changes, gone = [start], [], 0.0
    for times in (0.5, 1.0, 2.0, 4.0):
        with torch.no_grad():
            for weight, part in zip(weights, parts, strict=True):
                weight.sub_((times - gone) * rate * part.view_as(weight))
        gone = times
        loss, there = look()
        losses.append(loss)
        changes.append(((there - gradient).norm() / gradient.norm()).item())
    spread, change = max(losses) - min(losses), max(changes)
    return tuple(min(v, 1e6) if math.isfinite(v) else 1e6 for v in (spread, change))


STUDY = Study(
    name="shift",
    question="Does batch norm help by keeping the layers' inputs still?",
    setting={
        "network": "plain stack of 8 layers, 16 channels, no skips, two of stride 2; 'shaken': "
        "batch norm, then for each step a new factor (1 to 1.25) and amount (−0.5 to 0.5) a "
        "channel, both varied by about 0.1 from image to image",
        "images": "10,000 at 16×16",
        "recipe": f"{SGD_WORDS}, 5 epochs, batches of 128; for each norm the best of three rates "
        "by 2,000 held-out training images",
    },
    conditions=grid(norm=("batch", "shaken", "none"), rate=(0.02, 0.1, 0.5)),
    measure=measure,
    contrasts=(
        Contrast(
            "less-shift",
            "how much more the input of layer 5 drifts in a step without norm than with BN",
            Cell({"norm": "none"}, "drift"),
            Cell({"norm": "batch"}, "drift"),
            smallest=0.0,
            unit="deviations",
        ),
        Contrast(
            "by-less-shift",
            "mean accuracy over the epochs, no norm minus shaken BN: the gain is gone (this rule "
            "was set when 9 of 27 runs were in)",
            Cell({"norm": "none"}, "mean"),
            Cell({"norm": "shaken"}, "mean"),
            smallest=-0.5,
        ),
        Contrast(
            "shaken-still-helps",
            "mean accuracy over the epochs, shaken BN minus no norm",
            Cell({"norm": "shaken"}, "mean"),
            Cell({"norm": "none"}, "mean"),
        ),
        Contrast(
            "smoother-landscape",
            "largest relative change of the gradient along the step, no norm minus BN, both "
            "at a rate of 0.02",
            Cell({"norm": "none", "rate": 0.02}, "gradient_change"),
            Cell({"norm": "batch", "rate": 0.02}, "gradient_change"),
            smallest=0.0,
            unit="",
        ),
    ),
    plots=tuple(
        Plot(value, f"{words}, SGD with momentum", x="rate", xlabel="highest learning rate",
             ylabel=ylabel, scales=("log", scale))
        for value, words, ylabel, scale in (
            ("drift", "how far the input of layer 5 drifts in a step", "drift in deviations",
             "log"),
            ("mean", "mean accuracy over the epochs on held-out images", "accuracy in %",
             "linear"),
        )
    ),
    seconds=lambda _: 70,
    quick={"rate": (0.1,)},
    tuned="rate",
)  # fmt: skip
