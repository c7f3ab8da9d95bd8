"""A study that costs nothing and whose runs are what the runner's tests are about."""

from __future__ import annotations

import time

from common.experiments.laboratory.declare import Cell, Contrast, Plot, Study, grid


def measure(condition, seed, data, device):
    return {"test": 10.0 * condition["size"] + seed + len(condition["norm"]), "classes": 10}


def slow(*arguments):
    time.sleep(0.1)
    return measure(*arguments)


measure.slow = slow

TOY = Study(
    name="toy",
    question="Does it run?",
    setting={"recipe": "none"},
    conditions=grid(norm=("batch", "layer"), size=(1, 2, 3)),
    measure=measure,
    contrasts=(Contrast("toy", "LN minus BN", Cell({"norm": "layer"}), Cell({"norm": "batch"})),),
    plots=(Plot("test", "toy", x="size", xlabel="size", ylabel="test"),),
)
