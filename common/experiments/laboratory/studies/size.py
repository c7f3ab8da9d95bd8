"""Few images and small networks: whether one norm is made for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from common.data import ImageData
from common.experiments.laboratory.bench import bench_images, seeded, train
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.experiments.shipped import course_histories
from common.networks import CourseNetwork
from common.training import course_recipe

NORMS = ("batch", "group", "layer")
ALL = 50_000
EPOCHS = {1_000: 60, 5_000: 16, 10_000: 8}  # 60,000 to 80,000 images seen


class _Half(CourseNetwork):
    """The course's network at half its widths."""

    STEM = 8, 12
    STAGES = *[(12, 1, 4)] * 4, (16, 2, 4), *[(16, 1, 3)] * 2


class _Twice(CourseNetwork):
    """The course's network at twice its widths."""

    STEM = 32, 48
    STAGES = *[(48, 1, 4)] * 4, (64, 2, 4), *[(64, 1, 3)] * 2


WIDTHS: dict[float, type[nn.Module]] = {0.5: _Half, 1.0: CourseNetwork, 2.0: _Twice}


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """The course's network at a width, on so many images; on all of them, as it was shipped."""
    norm, count, width = (condition[name] for name in ("norm", "images", "width"))
    if count == ALL:
        (run,) = (run for run in course_histories(norm) if run.seed == seed)
        gap = run.train_accuracy - run.test_accuracy
        return {"test": run.test_accuracy, "train": run.train_accuracy, "gap": gap}
    split, test = bench_images(data, count, 16)
    model = seeded(seed, lambda: WIDTHS[width](norm, len(split.classes)))
    return train(model, split, test, course_recipe(norm, seed, epochs=EPOCHS[count]), device)


def _over_batch(norm: str, name: str, claim: str, words: str, **where: float) -> Contrast:
    where = {"images": 10_000, "width": 1.0, **where}
    return Contrast(
        claim,
        f"test accuracy, {name} minus BN, {words}",
        Cell({**where, "norm": norm}),
        Cell({**where, "norm": "batch"}),
    )


STUDY = Study(
    name="size",
    question="Is one norm made for few images or small networks?",
    setting={
        "network": "the course's, at half, its own and twice its widths",
        "images": "1,000, 5,000 or 10,000 at 16×16; all 50,000 at 32×32",
        "recipe": "the course's (Muon 0.02, batches of 128), 60, 16 or 8 epochs; with all images "
        "20, the runs shipped with the lessons",
    },
    conditions=(
        *grid(norm=NORMS, images=(10_000,), width=(0.5, 1.0, 2.0)),
        *grid(norm=NORMS, images=(1_000, 5_000, ALL), width=(1.0,)),
    ),
    measure=measure,
    contrasts=(
        _over_batch("layer", "LN", "small-models", "half the widths", width=0.5),
        Contrast(
            "small-models",
            "LN minus BN, at half the widths minus at twice",
            Cell({"norm": "layer", "images": 10_000, "width": 0.5}, minus={"width": 2.0}),
            Cell({"norm": "batch", "images": 10_000, "width": 0.5}, minus={"width": 2.0}),
        ),
        _over_batch("layer", "LN", "little-data", "1,000 images", images=1_000),
        _over_batch("group", "GN", "little-data", "1,000 images", images=1_000),
        *(
            Contrast(
                "little-data",
                f"{name} minus BN, with 1,000 images at 16×16 minus with all 50,000 at 32×32",
                Cell({"norm": norm, "images": 1_000, "width": 1.0}, minus={"images": ALL}),
                Cell({"norm": "batch", "images": 1_000, "width": 1.0}, minus={"images": ALL}),
            )
            for norm, name in (("layer", "LN"), ("group", "GN"))
        ),
        Contrast(
            "over-regularises",
            "training accuracy at half the widths, LN minus BN",
            Cell({"norm": "layer", "images": 10_000, "width": 0.5}, "train"),
            Cell({"norm": "batch", "images": 10_000, "width": 0.5}, "train"),
        ),
    ),
    plots=(
        Plot(
            "test",
            "test accuracy against the width, 10,000 images, Muon",
            x="width",
            xlabel="width, times the course's network",
            ylabel="test accuracy in %",
            where={"images": 10_000},
            scales=("log", "linear"),
        ),
        Plot(
            "test",
            "test accuracy against the number of training images, Muon (50,000: at 32×32)",
            x="images",
            xlabel="training images",
            ylabel="test accuracy in %",
            where={"width": 1.0},
            scales=("log", "linear"),
        ),
    ),
    seconds=lambda c: 1 if c["images"] == ALL else {0.5: 60, 1.0: 120, 2.0: 300}[c["width"]],
    quick={"norm": ("batch", "layer"), "width": (0.5, 2.0)},
    shipped=lambda c: c["images"] == ALL,
)
