"""Three readings of layer norm, RMSNorm, and images without their structure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from common.data import ImageData, ImageSet
from common.experiments.laboratory.bench import bench_images, seeded, train
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.networks import RMSNorm2d, build, replace_norms
from common.norms import LayerNorm
from common.training import course_recipe

VARIANTS = {
    "layer [C,H,W]": lambda shape: nn.LayerNorm(shape),
    "layer": lambda shape: nn.GroupNorm(1, shape[0]),
    "layer over C": lambda shape: LayerNorm(shape[0], over="channels"),
    "RMS over C": lambda shape: RMSNorm2d(shape[0], "channels"),
    "RMS of all": lambda shape: RMSNorm2d(shape[0], "image"),
    "batch": lambda shape: nn.BatchNorm2d(shape[0]),
    "group": lambda shape: nn.GroupNorm(4, shape[0]),
}


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """The course's network; with ``pixels`` shuffled, in the same order in every image."""
    split, test = bench_images(data, 10_000, 16)
    if condition["pixels"] == "shuffled":
        split = replace(split, train=_shuffled(split.train), test=_shuffled(split.test))
        test = _shuffled(test)
    make = VARIANTS[condition["norm"]]
    model = seeded(
        seed,
        lambda: replace_norms(
            build("course", "layer", classes=len(split.classes), image_size=16),
            lambda _, shape: make(shape),
            16,
        ),
    )
    recipe = course_recipe("layer", seed, epochs=8)
    if condition["pixels"] == "shuffled":
        # Shifting or mirroring shuffled images would mix places that are no neighbours.
        recipe = replace(recipe, shift=0, flip=False)
    return train(model, split, test, recipe, device)


def _shuffled(images: ImageSet) -> ImageSet:
    pixels = images.images.flatten(2)
    order = torch.randperm(pixels.shape[2], generator=torch.Generator().manual_seed(0))
    return ImageSet(pixels[:, :, order].view_as(images.images), images.labels)


def _variants(claim: str, first: str, second: str) -> Contrast:
    words = {"layer": "layer over all, one group"}
    names = f"{words.get(first, first)} minus {words.get(second, second)}"
    return Contrast(
        claim,
        f"test accuracy, {names}",
        Cell({"norm": first, "pixels": "in place"}),
        Cell({"norm": second, "pixels": "in place"}),
    )


def _needs_structure(norm: str, name: str) -> Contrast:
    return Contrast(
        "spatial-structure",
        f"what shuffling the pixels costs LN minus what it costs {name}",
        Cell({"norm": "layer", "pixels": "in place"}, minus={"pixels": "shuffled"}),
        Cell({"norm": norm, "pixels": "in place"}, minus={"pixels": "shuffled"}),
    )


STUDY = Study(
    name="layers",
    question="Which reading of layer norm, and does it need the structure of the images?",
    setting={
        "network": "the course's, its norms replaced",
        "images": "10,000 at 16×16; 'shuffled': the pixels in one random order, the same for all",
        "recipe": "the course's (Muon 0.02, batches of 128), 8 epochs; shuffled: no augmentation",
    },
    conditions=grid(norm=tuple(VARIANTS), pixels=("in place", "shuffled")),
    measure=measure,
    contrasts=(
        _variants("three-readings", "layer [C,H,W]", "layer"),
        _variants("three-readings", "layer", "layer over C"),
        _variants("centring", "layer", "RMS of all"),
        _variants("centring", "layer over C", "RMS over C"),
        _needs_structure("batch", "BN"),
        _needs_structure("group", "GN"),
    ),
    plots=(
        Plot(
            "test",
            "test accuracy of three layer norms, two RMSNorms and two controls, Muon",
            x="norm",
            xlabel="norm",
            ylabel="test accuracy in %",
            lines="pixels",
        ),
    ),
    seconds=lambda _: 130,
    quick={"pixels": ("shuffled",)},
)
