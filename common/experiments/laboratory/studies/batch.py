"""What the batch's size does to each norm, at equal epochs."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from common.data import Batches, ImageData
from common.experiments.laboratory.bench import SGD, SGD_WORDS, bench_images, seeded, train
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.networks import build, without_norms
from common.training import evaluate

NORMS = ("batch", "group", "layer", "none")
# Without a norm: the highest of 0.02, 0.1, 0.2, 0.3, 0.5 and 1 with which it also learns in batches
# of 8 (seed 0, held-out training images; 0.5 does better in batches of 128). It was 0.02 first, a
# plain stack's best rate, with which this network stays at 10 % in batches of 32 and more.
RATES = {"batch": 0.1, "group": 0.1, "layer": 0.1, "none": 0.3}


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """The course's network; for BN also with running statistics measured anew afterwards."""
    split, test = bench_images(data, 5_000, 16)
    norm, size = condition["norm"], condition["batch"]
    model = seeded(seed, lambda: course_network(norm, len(split.classes), 16))
    rate = RATES[norm] * math.sqrt(size / 128) * condition["factor"]
    recipe = replace(SGD, learning_rate=rate, batch_size=size, seed=seed)
    values = train(model, split, test, recipe, device)
    values["recalibrated"] = values["test"]
    if norm == "batch" and not values["diverged"]:
        recalibrate(model, split, device)
        values["recalibrated"] = evaluate(model, test, split, device=device).accuracy
    return values


def course_network(norm: str, classes: int, size: int) -> nn.Module:
    """The course's network with this norm; without one its convolutions have biases."""
    if norm == "none":
        return without_norms(build("course", "layer", classes=classes, image_size=size), size)
    return build("course", norm, classes=classes, image_size=size)


def recalibrate(model: nn.Module, split: ImageData, device: torch.device) -> None:
    """Replace BN's running statistics by plain averages over batches of 128 training images."""
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = copy.deepcopy([layer.momentum for layer in norms])
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None
    size = min(128, len(split.train))
    batches = Batches(split.train, split.mean, split.std, batch_size=size, device=device)
    model.train()
    with torch.no_grad():
        for x, _ in batches.epoch(torch.Generator().manual_seed(0)):
            model(x)
    model.eval()
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum


def _from_128(norm: str, value: str = "test") -> Cell:
    return Cell({"norm": norm, "batch": 2}, value, minus={"batch": 128})


STUDY = Study(
    name="batch",
    question="What does the size of the batch do to each norm?",
    setting={
        "network": "the course's",
        "images": "5,000 at 16×16",
        "recipe": f"{SGD_WORDS}, 8 epochs, rate (0.1, without norm 0.3) × √(batch / 128); at "
        "batches of 2 and 8 also half and twice that, without norm at 2 and 4 also a quarter; the "
        "best by 2,000 held-out training images",
    },
    conditions=(
        *grid(norm=NORMS, batch=(2, 4, 8, 16, 32, 128, 512), factor=(1.0,)),
        *grid(norm=NORMS, batch=(2, 8), factor=(0.5, 2.0)),
        # Without a norm the rate that goes well falls faster than the root of the batch.
        *grid(norm=("none",), batch=(2, 4), factor=(0.25,)),
    ),
    measure=measure,
    contrasts=(
        Contrast(
            "needs-large-batches",
            "BN's test accuracy at batches of 128 minus at 2",
            Cell({"norm": "batch", "batch": 128}),
            Cell({"norm": "batch", "batch": 2}),
        ),
        Contrast(
            "stable-on-small",
            "change of the test accuracy from batches of 128 to 2, LN minus BN",
            _from_128("layer"),
            _from_128("batch"),
        ),
        Contrast(
            "stabler-than-group",
            "change of the test accuracy from batches of 128 to 2, LN minus GN",
            _from_128("layer"),
            _from_128("group"),
        ),
        Contrast(
            "larger-batches-better",
            "BN minus LN, at batches of 512 minus at batches of 32",
            Cell({"norm": "batch", "batch": 512}, minus={"batch": 32}),
            Cell({"norm": "layer", "batch": 512}, minus={"batch": 32}),
        ),
        Contrast(
            "statistics-alone",
            "BN at batches of 2: test accuracy gained by measuring the running statistics anew",
            Cell({"norm": "batch", "batch": 2}, "recalibrated"),
            Cell({"norm": "batch", "batch": 2}),
        ),
    ),
    plots=(
        Plot(
            "test",
            "test accuracy against the batch size at equal epochs, SGD with momentum",
            x="batch",
            xlabel="images in a batch",
            ylabel="test accuracy in %",
            scales=("log", "linear"),
        ),
    ),
    seconds=lambda c: {2: 350, 4: 240, 8: 160, 16: 110, 32: 80, 128: 55, 512: 55}[c["batch"]],
    quick={"norm": ("batch", "layer"), "batch": (2, 128), "factor": (1.0,)},
    tuned="factor",
)
