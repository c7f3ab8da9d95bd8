"""The noise of the batches: whether it makes batch norm generalise better."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from common.data import ImageData
from common.experiments.laboratory.bench import SGD, SGD_WORDS, bench_images, seeded, train
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.networks import GhostBatchNorm, QuietBatchNorm, build, replace_norms

KINDS = {"ghost": GhostBatchNorm, "quiet": QuietBatchNorm}


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """Long training on few images, where a network can learn them by heart."""
    split, test = bench_images(data, 5_000, 16)
    model = seeded(seed, lambda: _network(condition["norm"], len(split.classes)))
    recipe = replace(SGD, epochs=30, batch_size=condition["batch"], flip=False, shift=0, seed=seed)
    return train(model, split, test, recipe, device)


def _network(norm: str, classes: int) -> nn.Module:
    options = {"classes": classes, "image_size": 16}
    if norm not in KINDS:
        return build("course", norm, **options)
    make = KINDS[norm]
    return replace_norms(build("course", "batch", **options), lambda _, shape: make(shape[0]), 16)


def _gap(norm: str, batch: int = 128) -> Cell:
    return Cell({"norm": norm, "batch": batch}, "gap")


STUDY = Study(
    name="noise",
    question="Does the noise of its batches make batch norm generalise better?",
    setting={
        "network": "the course's; 'ghost': BN over 16 images at a time; 'quiet': BN that "
        "normalises with running statistics while it trains (batch renormalisation)",
        "images": "5,000 at 16×16, not augmented",
        "recipe": f"{SGD_WORDS.partition(', flips')[0]}, rate 0.1, 30 epochs",
    },
    conditions=(
        *grid(norm=("batch", "ghost", "quiet", "group", "layer"), batch=(128,)),
        *grid(norm=("batch",), batch=(32, 512)),
    ),
    measure=measure,
    contrasts=(
        Contrast(
            "regularises",
            "gap between training and test accuracy, BN with running statistics minus BN, batches "
            "of 128",
            _gap("quiet"),
            _gap("batch"),
        ),
        Contrast(
            "noise-generalises",
            "test accuracy, BN minus BN with running statistics, batches of 128",
            Cell({"norm": "batch", "batch": 128}),
            Cell({"norm": "quiet", "batch": 128}),
        ),
        Contrast(
            "more-noise",
            "test accuracy, BN over 16 images at a time minus BN over 128",
            Cell({"norm": "ghost", "batch": 128}),
            Cell({"norm": "batch", "batch": 128}),
        ),
        *(
            Contrast(
                "better-generalisation",
                f"test accuracy, BN minus {name}, batches of 128",
                Cell({"norm": "batch", "batch": 128}),
                Cell({"norm": norm, "batch": 128}),
            )
            for norm, name in (("group", "GN"), ("layer", "LN"))
        ),
        Contrast(
            "less-overfitting-larger-batches",
            "BN's gap between training and test accuracy, at batches of 32 minus at 512",
            _gap("batch", 32),
            _gap("batch", 512),
        ),
    ),
    plots=(
        Plot(
            "gap",
            "training minus test accuracy, SGD with momentum",
            x="batch",
            xlabel="images in a batch",
            ylabel="points",
            scales=("log", "linear"),
        ),
        Plot(
            "test",
            "test accuracy, SGD with momentum",
            x="batch",
            xlabel="images in a batch",
            ylabel="test accuracy in %",
            scales=("log", "linear"),
        ),
    ),
    seconds=lambda _: 240,
    quick={"norm": ("batch", "ghost", "quiet"), "batch": (128,)},
)
