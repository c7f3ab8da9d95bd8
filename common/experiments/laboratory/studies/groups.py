"""How many groups, and what the groups share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from common.data import ImageData, Normaliser
from common.experiments.laboratory.bench import bench_images, seeded, train
from common.experiments.laboratory.declare import Cell, Condition, Contrast, Plot, Study, grid
from common.networks import build, replace_norms
from common.training import course_recipe

EVERYWHERE = ("1", "2", "4", "8", "each")


def measure(
    condition: Condition, seed: int, data: ImageData, device: torch.device
) -> dict[str, Any]:
    """The course's network with so many groups; then how alike the channels of a group are.

    ``alike``: mean absolute correlation of two channels that share a group minus that of two
    channels of one layer that do not, over the norms' inputs on 256 held-out images.
    """
    split, test = bench_images(data, 10_000, 16)
    groups = condition["groups"]
    model = seeded(seed, lambda: _network(groups, len(split.classes)))
    values = train(model, split, test, course_recipe("group", seed, epochs=8), device)
    return {**values, "alike": _alike(model, split, device)}


def _network(groups: str, classes: int) -> nn.Module:
    model = build("course", "layer", classes=classes, image_size=16)
    last = sum(isinstance(layer, nn.GroupNorm) for layer in model.modules()) - 1

    def make(place: int, shape: tuple[int, int, int]) -> nn.Module:
        each = {"each": True, "each, last": place == last, "each, but last": place != last}
        number = shape[0] if each.get(groups) else int(groups) if groups.isdigit() else 4
        return nn.GroupNorm(number, shape[0])

    return replace_norms(model, make, 16)


@torch.no_grad()
def _alike(model: nn.Module, split: ImageData, device: torch.device) -> float:
    """0 where all channels share one group, or none do: there is nothing to compare."""
    found: list[float] = []

    def look(layer: nn.GroupNorm, inputs: tuple[Tensor, ...]) -> None:
        channels = inputs[0].transpose(0, 1).flatten(1).double()
        size = layer.num_channels // layer.num_groups
        correlation = torch.corrcoef(channels).nan_to_num().abs()
        group = torch.arange(len(channels), device=device) // size
        same = group[:, None] == group
        other = ~torch.eye(len(channels), dtype=torch.bool, device=device)
        if size > 1 and layer.num_groups > 1:
            found.append((correlation[same & other].mean() - correlation[~same].mean()).item())

    hooks = [
        layer.register_forward_pre_hook(look)
        for layer in model.modules()
        if isinstance(layer, nn.GroupNorm)
    ]
    model.eval()(Normaliser(split.mean, split.std, device)(split.test.images[:256].to(device)))
    for hook in hooks:
        hook.remove()
    return sum(found) / len(found) if found else 0.0


def _groups(claim: str, words: str, first: str, second: str) -> Contrast:
    return Contrast(claim, words, Cell({"groups": first}), Cell({"groups": second}))


STUDY = Study(
    name="groups",
    question="How many groups, and do channels that share one grow alike?",
    setting={
        "network": "the course's with GN; 'each': a group for each channel, in all norms, in the "
        "last one only (4 groups elsewhere), or everywhere but there",
        "images": "10,000 at 16×16",
        "recipe": "the course's (Muon 0.02, batches of 128), 8 epochs",
    },
    conditions=grid(norm=("group",), groups=(*EVERYWHERE, "each, last", "each, but last")),
    measure=measure,
    contrasts=(
        _groups("number-of-groups", "test accuracy, 4 groups minus 1", "4", "1"),
        _groups("number-of-groups", "test accuracy, 8 groups minus 4", "8", "4"),
        _groups("instance-loses", "test accuracy, 4 groups minus one a channel", "4", "each"),
        Contrast(
            "lost-in-the-last",
            "test accuracy, one group a channel everywhere but in the last norm minus in the last "
            "norm only",
            Cell({"groups": "each, but last"}),
            Cell({"groups": "each, last"}),
        ),
        Contrast(
            "correlated-channels",
            "mean absolute correlation of two channels, in one of 4 groups minus across groups",
            Cell({"groups": "4"}, "alike"),
            smallest=0.0,
            unit="",
        ),
    ),
    plots=(
        Plot(
            "test",
            "test accuracy against the number of groups, Muon",
            x="groups",
            xlabel="groups a norm",
            ylabel="test accuracy in %",
        ),
        Plot(
            "alike",
            "how much more alike channels of one group are, Muon",
            x="groups",
            xlabel="groups a norm",
            ylabel="difference of mean |correlation|",
            where={"groups": ("2", "4", "8")},
        ),
    ),
    seconds=lambda _: 130,
    quick={"groups": ("1", "4", "each, last", "each, but last")},
)
