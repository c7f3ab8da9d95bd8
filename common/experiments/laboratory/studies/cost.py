"""What a norm costs: time and memory of a step, and of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from common.data import ImageData, Normaliser
from common.experiments.laboratory.bench import bench_images, seeded
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.experiments.laboratory.studies.batch import course_network

ROUNDS = 5


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """Median milliseconds an image: ``forward``, ``step`` (forward and backward), ``answer``.

    ``answer`` is in evaluation mode; ``memory`` is what the step keeps for the backward pass, MB.
    """
    size, batch = condition["size"], condition["batch"]
    split, _ = bench_images(data, batch, size)
    batch = min(batch, len(split.train))
    x = Normaliser(split.mean, split.std, device)(split.train.images[:batch].to(device))
    y = split.train.labels[:batch].to(device)
    model = seeded(seed, lambda: course_network(condition["norm"], len(split.classes), size))
    model.to(device, memory_format=torch.channels_last)
    kept: dict[int, int] = {}

    def weigh(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
        out = model(x)
    loss = F.cross_entropy(out, y)

    def step() -> None:
        F.cross_entropy(model(x), y).backward()

    def answer() -> None:
        with torch.inference_mode():
            model.eval()(x)
        model.train()

    loss.backward()
    return {
        "forward": _time(lambda: model(x), device) / batch,
        "step": _time(step, device) / batch,
        "answer": _time(answer, device) / batch,
        "memory": sum(kept.values()) / 2**20,
        "norms": sum(isinstance(m, nn.BatchNorm2d | nn.GroupNorm) for m in model.modules()),
    }


def _time(do: Callable[[], object], device: torch.device) -> float:
    """Median milliseconds of a call, after one that does not count."""
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        do()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - started))
    return median(times[1:])


STUDY = Study(
    name="cost",
    question="What does a norm cost in time and memory?",
    setting={
        "network": "the course's",
        "images": "training images at 16×16 and 32×32",
        "recipe": "no training: a step without the optimiser, median of five, one thread; the "
        "seeds are rounds",
    },
    conditions=grid(norm=("batch", "group", "layer", "none"), size=(16, 32), batch=(2, 8, 32, 128)),
    measure=measure,
    contrasts=(
        Contrast(
            "lower-memory",
            "memory that a step on 128 images of 32×32 keeps for its backward pass, BN minus GN",
            Cell({"norm": "batch", "size": 32, "batch": 128}, "memory"),
            Cell({"norm": "group", "size": 32, "batch": 128}, "memory"),
            smallest=1.0,
            unit="MB",
        ),
    ),
    plots=(
        Plot(
            "step",
            "time of a training step",
            x="batch",
            xlabel="images in a batch",
            ylabel="milliseconds an image",
            panels="size",
            scales=("log", "log"),
        ),
        Plot(
            "memory",
            "memory that a step keeps for its backward pass",
            x="batch",
            xlabel="images in a batch",
            ylabel="MB",
            panels="size",
            scales=("log", "log"),
        ),
    ),
    seconds=lambda c: 0.02 * c["batch"] * (c["size"] / 16) ** 2,
    quick={"norm": ("batch", "none"), "size": (16,), "batch": (2, 8)},
    repeatable=False,
    repeats="rounds",
)
