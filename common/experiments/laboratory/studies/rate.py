"""Which learning rates each norm can stand, with SGD and with Muon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from common.data import ImageData
from common.experiments.laboratory.bench import SGD, SGD_WORDS, bench_images, seeded, train
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.networks import PlainStack, build, without_norms
from common.training import SHARED

# Eight rates over three decades for each optimiser, a factor of 2.7 apart.
RATES = {
    "sgd": (0.003, 0.008, 0.022, 0.058, 0.16, 0.42, 1.1, 3.0),
    "muon": (0.0006, 0.0016, 0.0043, 0.012, 0.031, 0.083, 0.22, 0.6),
}
STEP = 0.43  # decades from one rate to the next
WITHIN = 2.0  # points below the best rate at which a rate still counts as usable


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """A network with a norm, an optimiser and a rate."""
    split, test = bench_images(data, 10_000, 16)
    model = seeded(seed, lambda: _network(condition, len(split.classes)))
    recipe = SGD if condition["optimiser"] == "sgd" else SHARED
    recipe = replace(recipe, epochs=5, learning_rate=condition["rate"], seed=seed)
    return train(model, split, test, recipe, device)


def _network(condition: Condition, classes: int) -> nn.Module:
    norm = condition["norm"]
    if condition["network"] == "plain":
        return PlainStack(norm, halvings=2, classes=classes)
    options = {"classes": classes, "image_size": 16}
    if norm == "none":
        return without_norms(build("skip-48k", "layer", **options), 16)
    return build("skip-48k", norm, **options)


def usable(found: Sequence[tuple[Condition, float]]) -> float:
    """Decades of rates whose accuracy is within two points of the best one's."""
    best = max(value for _, value in found)
    return STEP * sum(value >= best - WITHIN for _, value in found)


def largest(found: Sequence[tuple[Condition, float]]) -> float:
    """The largest rate within two points of the best one, in decades."""
    best = max(value for _, value in found)
    return max(math.log10(c["rate"]) for c, value in found if value >= best - WITHIN)


def best(found: Sequence[tuple[Condition, float]]) -> float:
    """The best rate, in decades."""
    return math.log10(max(found, key=lambda pair: pair[1])[0]["rate"])


PLACE = {"network": "plain", "optimiser": "sgd"}


def _rates(claim: str, words: str, of: Any, first: str, second: str, **place: str) -> Contrast:
    """Compares what rates come to on held-out images, in decades."""
    where = {**PLACE, **place}
    return Contrast(
        claim,
        words,
        Cell({**where, "norm": first}, "validation", reduce=of, every=True),
        Cell({**where, "norm": second}, "validation", reduce=of, every=True),
        smallest=0.3,
        unit="decades",
    )


STUDY = Study(
    name="rate",
    question="Which learning rates can each norm stand, and which one is its best?",
    setting={
        "network": "plain: stack of 8 layers, 16 channels; skip-48k of the field",
        "images": "10,000 at 16×16",
        "recipe": f"sgd: {SGD_WORDS}; muon: the course's recipe; 5 epochs, batches of 128",
    },
    conditions=tuple(
        condition
        for optimiser, rates in RATES.items()
        for condition in grid(
            network=("plain", "skip-48k"),
            optimiser=(optimiser,),
            norm=("batch", "group", "layer", "none"),
            rate=rates,
        )
    ),
    measure=measure,
    contrasts=(
        *(
            _rates("larger-rates", f"largest usable rate, BN over {name}, plain stack, SGD",
                   largest, "batch", norm)
            for norm, name in (("none", "no norm"), ("group", "GN"), ("layer", "LN"))
        ),
        _rates("larger-rates", "width of the usable rates, BN over no norm, plain stack, SGD",
               usable, "batch", "none"),
        *(
            _rates("one-rate", f"best rate, BN over {name}, skip-48k, SGD", best, "batch", norm,
                   network="skip-48k")
            for norm, name in (("group", "GN"), ("layer", "LN"))
        ),
        *(
            Contrast(
                "trains-faster",
                f"mean accuracy over the epochs, BN minus {name}, each at its best rate, {network},"
                " SGD",
                Cell({"network": network, "optimiser": "sgd", "norm": "batch"}, "mean"),
                Cell({"network": network, "optimiser": "sgd", "norm": norm}, "mean"),
            )
            for network in ("plain", "skip-48k")
            for norm, name in (("none", "no norm"), ("group", "GN"), ("layer", "LN"))
        ),
    ),
    plots=tuple(
        Plot(
            "test",
            f"test accuracy against the learning rate, {words}",
            x="rate",
            xlabel="highest learning rate of the run",
            ylabel="test accuracy in %",
            panels="network",
            where={"optimiser": optimiser},
            scales=("log", "linear"),
        )
        for optimiser, words in (("sgd", "SGD with momentum"), ("muon", "Muon"))
    ),
    seconds=lambda _: 35,
    quick={"network": ("skip-48k",), "norm": ("batch", "none"), "rate": (0.022, 0.031)},
    tuned="rate",
)  # fmt: skip
