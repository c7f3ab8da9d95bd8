"""Before the first step: what depth, initialisation and norm do to activations and gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from common.data import ImageData, Normaliser
from common.experiments.laboratory.bench import bench_images, seeded
from common.experiments.laboratory.declare import (
    Cell,
    Condition,
    Contrast,
    Plot,
    Study,
    decades_of,
    grid,
)
from common.networks import PlainStack

NORMS = ("batch", "group", "layer", "none")
DEEP = {"depth": 24, "skips": "no", "gain": 1.0}
LEAST, MOST = 1e-37, 1e37  # what float32 can still tell apart


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """One batch forward and backward: spread of each layer's output, size of its gradient.

    ``activations`` and ``gradients``, at 24 layers, have a value a layer. ``activation_drift`` and
    ``gradient_drift`` are decades between the ends, whichever is larger; ``gradient_growth`` is
    positive where the first layers' gradients are the larger ones.
    """
    split, _ = bench_images(data, 128, 16)
    x = Normaliser(split.mean, split.std, device)(split.train.images.to(device))
    options = {k: condition[k] for k in ("norm", "depth", "gain")}
    skips = condition["skips"] == "yes"
    model = seeded(seed, lambda: PlainStack(**options, skips=skips, classes=len(split.classes))).to(
        device
    )
    spreads: list[float] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda _, __, y: spreads.append(_clamp(y.std().item())))
    F.cross_entropy(model(x), split.train.labels.to(device)).backward()
    sizes = [_clamp(layer[0].weight.grad.norm().item()) for layer in model.layers]
    # The first convolution has three input channels, not 16: its gradient is another thing.
    growth = math.log10(sizes[1] / sizes[-1])
    values: dict[str, Any] = {
        "activation_drift": abs(math.log10(spreads[-1] / spreads[0])),
        "gradient_growth": growth,
        "gradient_drift": abs(growth),
    }
    # Ten seeds of all depths, layer by layer, would be a large file.
    lists = {"activations": spreads, "gradients": sizes}
    return {**values, **lists} if condition["depth"] == DEEP["depth"] else values


def _clamp(value: float) -> float:
    return min(max(value, LEAST), MOST) if math.isfinite(value) else MOST


def _even(norm: str, name: str) -> Contrast:
    return Contrast(
        "gradient-flow",
        f"decades between the second and last layer's gradient, no norm minus {name}, 24 layers, "
        "no skips, He's initialisation",
        Cell({**DEEP, "norm": "none"}, "gradient_drift"),
        Cell({**DEEP, "norm": norm}, "gradient_drift"),
        smallest=0.3,
        unit="decades",
    )


def _bounded(norm: str, name: str) -> Contrast:
    where = {**DEEP, "gain": (0.25, 1.0, 4.0)}
    return Contrast(
        "gradient-flow",
        "decades between the smallest and the largest gradient of any layer at He's "
        f"initialisation × ¼, × 1 and × 4, no norm minus {name}, 24 layers, no skips (a rule made "
        "when the runs were there)",
        Cell({**where, "norm": "none"}, "gradients", reduce=decades_of),
        Cell({**where, "norm": norm}, "gradients", reduce=decades_of),
        smallest=0.3,
        unit="decades",
    )


NAMES = (("batch", "BN"), ("group", "GN"), ("layer", "LN"))

STUDY = Study(
    name="birth",
    question="Do norms keep activations and gradients in bounds before the first step?",
    setting={
        "network": "plain stack: 3×3 convolution, norm, ReLU; 16 channels",
        "images": "one batch of 128 training images at 16×16",
        "recipe": "no training: He's initialisation times a gain, one batch in train mode",
    },
    conditions=(
        *grid(norm=NORMS, depth=(4, 8, 16, 24, 48), skips=("no", "yes"), gain=(1.0,)),
        *grid(norm=NORMS, depth=(24,), skips=("no", "yes"), gain=(0.25, 4.0)),
    ),
    measure=measure,
    contrasts=(
        *(_even(*norm) for norm in NAMES),
        *(_bounded(*norm) for norm in NAMES),
        *(
            Contrast(
                "activations-held",
                f"decades between first and last layer's activations, no norm minus {name}, "
                "24 layers, He's initialisation × ¼ and × 4",
                Cell({**DEEP, "gain": (0.25, 4.0), "norm": "none"}, "activation_drift"),
                Cell({**DEEP, "gain": (0.25, 4.0), "norm": norm}, "activation_drift"),
                smallest=0.3,
                unit="decades",
            )
            for norm, name in NAMES
        ),
        Contrast(
            "batch-explodes",
            "decades by which the gradient grows from the last layer to the second, BN, 24 layers, "
            "no skips, He's initialisation",
            Cell({**DEEP, "norm": "batch"}, "gradient_growth"),
            smallest=0.3,
            unit="decades",
        ),
        Contrast(
            "skips-mend",
            "decades between second and last layer's gradient, BN without skips minus with skips, "
            "24 layers",
            Cell({**DEEP, "norm": "batch"}, "gradient_drift"),
            Cell({**DEEP, "norm": "batch", "skips": "yes"}, "gradient_drift"),
            smallest=0.3,
            unit="decades",
        ),
    ),
    plots=(
        Plot(
            "gradients",
            "gradient of each layer's weights before the first step, 24 layers",
            x="layer",
            xlabel="layer, from the input to the output",
            ylabel="norm of the weights' gradient",
            panels="skips",
            where={"depth": 24, "gain": 1.0},
            scales=("linear", "log"),
        ),
        Plot(
            "activations",
            "spread of each layer's output before the first step, 24 layers, no skips",
            x="layer",
            xlabel="layer, from the input to the output",
            ylabel="standard deviation of the output",
            panels="gain",
            where={"depth": 24, "skips": "no"},
            scales=("linear", "log"),
        ),
        Plot(
            "gradient_growth",
            "growth of the gradient from the last layer to the second, He's initialisation",
            x="depth",
            xlabel="layers",
            ylabel="decades",
            panels="skips",
            where={"gain": 1.0},
        ),
    ),
    seeds=tuple(range(1, 11)),
    seconds=lambda condition: condition["depth"] / 50,
    quick={"norm": ("batch", "none"), "depth": (24,)},
)
