"""Where layer norm was born: a recurrent network, here one that reads an image by rows."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.data import ImageData, ImageSet, Normaliser
from common.experiments.laboratory.bench import bench_images, seeded
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.networks import RowReader

NORMS = ("none", "layer", "group", "batch", "batch-step")
SHORTEST, LONGEST, ALL = 12, 24, 32  # rows of 32
EPOCHS = 5


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """Reads 12 to 24 rows while it learns; ``test`` is on such, ``all_rows`` on all 32."""
    split, test = bench_images(data, 3_000, ALL)
    size, chance = min(condition["batch"], len(split.train)), 100 / len(split.classes)
    model = seeded(
        seed, lambda: RowReader(condition["norm"], classes=len(split.classes), steps=LONGEST)
    ).to(device)
    rows = _rows(split.train, split, device)
    labels, generator = split.train.labels.to(device), torch.Generator().manual_seed(seed)
    rate = condition["rate"] * math.sqrt(size / 64)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    for _ in range(1 if data.quick else EPOCHS):
        model.train()
        lengths = torch.randint(SHORTEST, LONGEST + 1, (len(rows),), generator=generator)
        order = torch.randperm(len(rows), generator=generator)
        for index in order[: len(order) // size * size].split(size):
            out = model(rows[index], lengths[index].to(device))
            loss = F.cross_entropy(out, labels[index])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        if not math.isfinite(loss.item()):
            return {**dict.fromkeys(("test", "validation", "all_rows"), chance), "diverged": 1}
    model.eval()
    return {
        "test": _accuracy(model, test, split, device),
        "validation": _accuracy(model, split.test, split, device),
        "all_rows": _accuracy(model, test, split, device, ALL),
        "diverged": 0,
    }


def _rows(images: ImageSet, split: ImageData, device: torch.device) -> Tensor:
    """``(N, 32, 96)``: an image's rows, each with its three channels side by side."""
    x = Normaliser(split.mean, split.std, device)(images.images.to(device))
    return x.permute(0, 2, 1, 3).flatten(2).contiguous()


@torch.no_grad()
def _accuracy(
    model: RowReader,
    images: ImageSet,
    split: ImageData,
    device: torch.device,
    length: int | None = None,
) -> float:
    """In %; on 12 to 24 rows, the same for every run, unless ``length`` is given."""
    lengths = torch.randint(
        SHORTEST, LONGEST + 1, (len(images),), generator=torch.Generator().manual_seed(0)
    )
    lengths = torch.full_like(lengths, length) if length else lengths
    right = 0
    for part in torch.arange(len(images)).split(500):
        some = ImageSet(images.images[part], images.labels[part])
        out = model(_rows(some, split, device), lengths[part].to(device))
        right += (out.argmax(1).cpu() == some.labels).sum().item()
    return 100 * right / len(images)


def _layer_over(norm: str, name: str, **where: int) -> Contrast:
    return Contrast(
        "sequences",
        f"test accuracy on 12 to 24 rows, LN minus {name}, batches of {where['batch']}",
        Cell({**where, "norm": "layer"}),
        Cell({**where, "norm": norm}),
    )


STUDY = Study(
    name="rows",
    question="Does layer norm suit a recurrent network better?",
    setting={
        "network": "recurrent (Elman), 64 units, norm inside the tanh; 'batch': one set of running "
        "statistics, 'batch-step': one a step",
        "images": "3,000, read row by row: 32 steps of 96 values; 12 to 24 rows in training",
        "recipe": "Adam, gradients clipped at 1, 5 epochs, rate × √(batch / 64); the better of two "
        "rates by 2,000 held-out training images",
    },
    conditions=grid(norm=NORMS, batch=(64, 8, 1), rate=(1e-3, 4e-3)),
    measure=measure,
    contrasts=(
        *(
            _layer_over(norm, name, batch=64)
            for norm, name in (
                ("none", "no norm"),
                ("batch", "BN with shared statistics"),
                ("batch-step", "BN with statistics a step"),
                ("group", "GN"),
            )
        ),
        _layer_over("batch", "BN with shared statistics", batch=8),
        Contrast(
            "variable-length",
            "test accuracy on all 32 rows after training on 12 to 24, LN minus GN, batches of 64",
            Cell({"norm": "layer", "batch": 64}, "all_rows"),
            Cell({"norm": "group", "batch": 64}, "all_rows"),
        ),
    ),
    plots=tuple(
        Plot(value, f"recurrent network, {words}, Adam", x="batch", xlabel="sequences in a batch",
             ylabel="test accuracy in %", scales=("log", "linear"))
        for value, words in (("test", "12 to 24 rows as in training"), ("all_rows", "all 32 rows"))
    ),
    seconds=lambda c: {1: 180, 8: 40, 64: 15}[c["batch"]],
    quick={"norm": ("layer", "batch-step"), "batch": (1, 64), "rate": (4e-3,)},
    tuned="rate",
)  # fmt: skip
