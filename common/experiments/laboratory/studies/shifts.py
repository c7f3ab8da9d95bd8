"""The shipped networks on images that are darker, paler, noisier or blurred."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.data import ImageData, ImageSet, Normaliser
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.experiments.shipped import load_shipped

FIFTHS, BATCH = 5, 250
KINDS = ("brightness", "contrast", "noise", "blur")
STRENGTHS = (1, 2, 3, 4, 5)
NORMS = ("batch", "batch, test statistics", "group", "layer")


def corrupt(images: Tensor, kind: str, strength: int) -> Tensor:
    """uint8 ``(N, 3, H, W)`` with a corruption of strength 0 (none) to 5.

    Brightness is lowered by 8 % of the range a step, contrast to 0.8^strength about the mean of
    each image, noise has a deviation of 3 % of the range a step, and blur is Gaussian with a
    deviation of 0.35 pixels a step. After Hendrycks & Dietterich (2019), milder for small images.
    """
    x = images.float() / 255
    if kind == "brightness":
        x = x - 0.08 * strength
    elif kind == "contrast":
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * 0.8**strength
    elif kind == "noise":
        x = x + 0.03 * strength * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    elif strength:
        places = torch.arange(-4, 5.0)
        weights = torch.exp(-(places**2) / (2 * (0.35 * strength) ** 2))
        kernel = (weights / weights.sum()).expand(3, 1, 1, 9)
        x = F.conv2d(F.pad(x, (4, 4, 4, 4), "reflect"), kernel, groups=3)
        x = F.conv2d(x, kernel.transpose(2, 3), groups=3)
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """Accuracy on one fifth of the test images, ``drop`` from those as they are, in points."""
    norm, _, own = condition["norm"].partition(",")
    model, _ = load_shipped(norm)
    if own:
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.track_running_stats = False
                layer.running_mean = layer.running_var = None
    model.to(device)
    images = data.test.draw(len(data.test))
    images = ImageSet(images.images[seed - 1 :: FIFTHS], images.labels[seed - 1 :: FIFTHS])
    normalise = Normaliser(data.mean, data.std, device)

    @torch.no_grad()
    def accuracy(strength: int) -> float:
        right = 0
        for x, y in zip(images.images.split(BATCH), images.labels.split(BATCH), strict=True):
            out = model(normalise(corrupt(x, condition["kind"], strength).to(device)))
            right += (out.argmax(1).cpu() == y).sum().item()
        return 100 * right / len(images)

    clean, worse = accuracy(0), [accuracy(s) for s in STRENGTHS]
    return {
        "clean": clean,
        "drop": clean - sum(worse) / len(worse),
        "test": sum(worse) / len(worse),
        "accuracy": [clean, *worse],
    }


def _drops(first: str, second: str, claim: str, **where: Any) -> Contrast:
    short = {"batch": "BN", "group": "GN", "layer": "LN",
             "batch, test statistics": "BN with the test batch's statistics"}  # fmt: skip
    kinds = f" ({where['kind']})" if where else ""
    return Contrast(
        claim,
        f"mean drop of accuracy over the corruptions{kinds}, one network each, "
        f"{short[first]} minus {short[second]}",
        Cell({**where, "norm": first}, "drop"),
        Cell({**where, "norm": second}, "drop"),
    )


STUDY = Study(
    name="shifts",
    question="Which norm stands images of another distribution?",
    setting={
        "network": "the course's, one for each norm, the shipped weights; 'batch, test "
        "statistics': BN with the statistics of each batch of 250 test images",
        "images": "a fifth of the test images a run, at 32×32, corrupted at five strengths: "
        "intervals are over images, not over trainings",
        "recipe": "no training",
    },
    conditions=grid(norm=NORMS, kind=KINDS),
    measure=measure,
    contrasts=(
        _drops("batch", "layer", "robust"),
        _drops("batch", "group", "robust"),
        *(_drops("batch", "layer", "robust", kind=kind) for kind in KINDS),
        _drops("batch", "batch, test statistics", "fresh-statistics"),
    ),
    plots=(
        Plot(
            "accuracy",
            "accuracy of the shipped networks on corrupted test images",
            x="strength",
            xlabel="strength of the corruption",
            ylabel="test accuracy in %",
            panels="kind",
            first=0,
            scales=("linear", "linear"),
        ),
    ),
    seeds=tuple(range(1, FIFTHS + 1)),
    shipped=lambda _: True,
    repeats="fifths of the test images",
    seconds=lambda _: 30,
    quick={"norm": ("batch", "batch, test statistics"), "kind": ("blur",)},
)
