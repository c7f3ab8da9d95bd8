"""Norm or recipe: which of them made the field's lead of batch norm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from common.data import ImageData
from common.experiments.field import SKIP
from common.experiments.laboratory.bench import bench_images, seeded, train
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.networks import build
from common.training import SHARED

NORMS = ("batch", "group", "layer")
SOURCE = "the source's"
# Each is one change of the source's recipe towards the course's.
CHANGES: dict[str, dict[str, Any]] = {
    SOURCE: {},
    "rate 0.15": {"learning_rate": 0.15},
    "rate 0.05": {"learning_rate": 0.05},
    "flips and shifts": {"augmentation": "basic", "flip": True, "shift": SHARED.shift},
    "course's schedule": {"schedule": SHARED.schedule, "warmup": SHARED.warmup},
    "Nesterov": {"nesterov": True},
    "Muon": {
        "optimiser": SHARED.optimiser,
        "learning_rate": SHARED.learning_rate,
        "momentum": SHARED.momentum,
        "schedule": SHARED.schedule,
        "warmup": SHARED.warmup,
    },
}


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """The field's skip network with its source's recipe and one change."""
    split, test = bench_images(data, 10_000)
    options = {"classes": len(split.classes), "image_size": split.train.images.shape[-1]}
    model = seeded(seed, lambda: build("skip-48k", condition["norm"], **options))
    recipe = replace(SKIP.recipe, epochs=8, seed=seed, **CHANGES[condition["recipe"]])
    return train(model, split, test, recipe, device)


def _lead(norm: str, recipe: str) -> Cell:
    return Cell({"norm": norm, "recipe": recipe})


NAMES = {"group": "GN", "layer": "LN"}

STUDY = Study(
    name="recipe",
    question="Which part of the source's recipe makes batch norm's lead?",
    setting={
        "network": "skip-48k of the field",
        "images": "10,000 at 32×32",
        "recipe": "the source's: SGD 0.5 with momentum, one-cycle, RandAugment, batches of 128; "
        "here 8 epochs; and single changes of it to the course's",
    },
    conditions=grid(norm=NORMS, recipe=tuple(CHANGES)),
    measure=measure,
    contrasts=(
        *(
            Contrast(
                "nine-points",
                f"test accuracy, BN minus {NAMES[norm]}, the source's recipe",
                _lead("batch", SOURCE),
                _lead(norm, SOURCE),
            )
            for norm in NAMES
        ),
        *(
            Contrast(
                "recipe-made-it",
                f"BN's lead over LN with the source's recipe minus with one change: {change}",
                Cell({"norm": "batch", "recipe": SOURCE}, minus={"recipe": change}),
                Cell({"norm": "layer", "recipe": SOURCE}, minus={"recipe": change}),
            )
            for change in CHANGES
            if change != SOURCE
        ),
    ),
    plots=(
        Plot(
            "test",
            "skip-48k with its source's recipe and single changes, SGD with momentum but for Muon",
            x="recipe",
            xlabel="recipe",
            ylabel="test accuracy in %",
        ),
    ),
    seconds=lambda _: 230,
    quick={"norm": ("batch", "layer"), "recipe": (SOURCE, "Muon")},
)
