"""How much the size of the initial weights matters, with each norm and without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from common.data import ImageData
from common.experiments.laboratory.bench import SGD, SGD_WORDS, bench_images, seeded, train
from common.experiments.laboratory.declare import (
    Cell,
    Condition,
    Contrast,
    Plot,
    Study,
    fall_of,
    grid,
)
from common.networks import PlainStack

GAINS = (0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """The plain stack of eight layers, its first weights He's times ``gain``."""
    split, test = bench_images(data, 10_000, 16)
    norm, gain, rate = (condition[name] for name in ("norm", "gain", "rate"))
    model = seeded(
        seed, lambda: PlainStack(norm, gain=gain, halvings=2, classes=len(split.classes))
    )
    recipe = replace(SGD, epochs=5, learning_rate=rate, seed=seed)
    return train(model, split, test, recipe, device)


def _higher(other: str, name: str) -> Contrast:
    return Contrast(
        "initialisation",
        f"mean test accuracy over the nine gains, BN minus {name}, each at its own best rate",
        Cell({"norm": "batch"}),
        Cell({"norm": other}),
    )


def _flatter(other: str, name: str) -> Contrast:
    return Contrast(
        "initialisation",
        f"fall of the test accuracy from the best to the worst of the nine gains, {name} minus BN "
        "(a rule made when the runs were there)",
        Cell({"norm": other}, reduce=fall_of),
        Cell({"norm": "batch"}, reduce=fall_of),
    )


OTHERS = (("none", "no norm"), ("group", "GN"), ("layer", "LN"))


STUDY = Study(
    name="init",
    question="How much does the size of the initial weights matter?",
    setting={
        "network": "plain stack of 8 layers, 16 channels, no skips, two of stride 2",
        "images": "10,000 at 16×16",
        "recipe": f"{SGD_WORDS}, 5 epochs, batches of 128; for each norm and gain the best of "
        "three rates by 2,000 held-out training images",
    },
    conditions=grid(norm=("batch", "group", "layer", "none"), gain=GAINS, rate=(0.01, 0.05, 0.25)),
    measure=measure,
    contrasts=tuple(make(*other) for make in (_higher, _flatter) for other in OTHERS),
    plots=(
        Plot(
            "test",
            "test accuracy against the size of the initial weights, SGD with momentum",
            x="gain",
            xlabel="initial weights, times He's",
            ylabel="test accuracy in %",
            scales=("log", "linear"),
        ),
    ),
    seconds=lambda _: 35,
    quick={"norm": ("batch", "none"), "gain": (0.03, 1.0), "rate": (0.05,)},
    tuned="rate",
)
