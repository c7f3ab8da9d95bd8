"""The small network that the clinic's scripts are tried on, and its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from common.exercises.verdict import Wrong


class Network(nn.Module):
    """Two trained norms, one of them inside a block, and a dropout; in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sequential(nn.BatchNorm2d(4)))
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(4, 3)
        # Neither as a fresh norm has them, nor both alike.
        self.block[1][0].momentum = 0.2
        with torch.no_grad():
            for norm in self.norms:
                norm.weight.copy_(torch.linspace(0.6, 1.5, 4)), norm.bias.fill_(0.1)
                norm.running_mean.fill_(0.2), norm.running_var.fill_(1.5)

    @property
    def norms(self) -> list[nn.BatchNorm2d]:
        return [layer for layer in self.modules() if isinstance(layer, nn.BatchNorm2d)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.block(F.relu(self.norm(self.first(x)))))
        return self.last(self.drop(x.mean((2, 3))))


def labelled(
    number: int, shifts: Sequence[float] = (0.0, 0.0, 0.0, 0.0)
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of 16 small images that no network has seen, with labels."""
    generator = torch.Generator().manual_seed(3)
    return [
        (
            torch.randn(16, 3, 6, 6, generator=generator) * 2 + 1 + shift,
            torch.randint(3, (16,), generator=generator),
        )
        for shift in shifts[:number]
    ]


def must_not_be_copied(network: nn.Module, returned: Any, call: str) -> None:
    """Raise Wrong if the learner's function has returned another network."""
    if isinstance(returned, nn.Module) and returned is not network:
        raise Wrong(
            f"{call} returns another network.",
            "change the network that is handed over, in place: no copy.",
        )
