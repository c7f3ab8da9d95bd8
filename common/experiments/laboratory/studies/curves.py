"""What the shipped histories say of convergence and of smooth curves; nothing is trained."""

from __future__ import annotations

from itertools import pairwise
from statistics import stdev
from typing import Any

import torch

from common.data import ImageData
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.experiments.shipped import course_histories


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """Of the course's shipped run with this norm and seed: epochs to 60 and 70 %, and unrest.

    ``unrest``: standard deviation of the second differences of the test accuracy, in points: a
    straight rise has none. ``largest_drop``: from one epoch to the next, 0 if it never falls.
    """
    (run,) = (r for r in course_histories(condition["norm"]) if r.seed == seed)
    accuracy = run.column("test_accuracy")
    steps = [b - a for a, b in pairwise(accuracy)]
    never = len(accuracy) + 1
    return {
        "to_60": run.first_epoch_at(60) or never,
        "to_70": run.first_epoch_at(70) or never,
        "unrest": stdev(b - a for a, b in pairwise(steps)),
        "largest_drop": max(0.0, -min(steps)),
        "test": run.test_accuracy,
        "accuracy": accuracy,
    }


def _over(claim: str, words: str, value: str, first: str, second: str, **more: Any) -> Contrast:
    return Contrast(
        claim, words, Cell({"norm": first}, value), Cell({"norm": second}, value), **more
    )


NAMES = {"batch": "BN", "group": "GN", "layer": "LN"}

STUDY = Study(
    name="curves",
    question="Which norm reaches 60 and 70 % first, and whose curve is smooth?",
    setting={
        "network": "the course's",
        "images": "all 50,000 at 32×32",
        "recipe": "the course's (Muon 0.02, batches of 128), 20 epochs: the runs shipped with the "
        "lessons",
    },
    conditions=grid(norm=("batch", "group", "layer")),
    measure=measure,
    contrasts=(
        *(
            _over("first-to-60", f"epochs to {at} %, {NAMES[norm]} minus BN", f"to_{at}", norm,
                  "batch", unit="epochs")
            for at in (60, 70)
            for norm in ("group", "layer")
        ),
        *(
            _over("smoother-curve", f"unrest of the curve, BN minus {NAMES[norm]}", "unrest",
                  "batch", norm)
            for norm in ("layer", "group")
        ),
        _over("smoother-curve", "largest drop from an epoch to the next, BN minus LN",
              "largest_drop", "batch", "layer"),
        *(
            _over("better-generalisation", "test accuracy with all 50,000 images, BN minus "
                  f"{NAMES[norm]} (runs that were there before the rule)", "test", "batch", norm)
            for norm in ("group", "layer")
        ),
    ),
    plots=(
        Plot("accuracy", "test accuracy after each epoch, five seeds, Muon", x="epoch",
             xlabel="epoch", ylabel="test accuracy in %", scales=("linear", "linear")),
    ),
    seeds=(1, 2, 3, 4, 5),
    shipped=lambda _: True,
    seconds=lambda _: 0.1,
    dataset="CIFAR-10 (JPEG copy)",
)  # fmt: skip
