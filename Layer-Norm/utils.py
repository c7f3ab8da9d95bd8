"""Helpers of the LayerNorm lesson: what would be too long for a cell of the notebook."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from model import NETWORKS
from torch import nn

from common import norms
from common.data import ImageData, ImageSet, Normaliser
from common.experiments import trainer

trained = trainer(NETWORKS)


def three_layer_norms(channels: int, height: int, width: int) -> dict[str, nn.Module]:
    """The three layers called LayerNorm, for ``(N, channels, height, width)``, by their names."""
    return {
        "LayerNorm([C, H, W])": nn.LayerNorm([channels, height, width]),
        "GroupNorm(1, C)": nn.GroupNorm(1, channels),
        "over C alone": norms.LayerNorm(channels, over="channels"),
    }


def norm_parameters(model: nn.Module) -> int:
    """How many values of the model's parameters belong to its layer and group norms."""
    layers = [m for m in model.modules() if isinstance(m, nn.LayerNorm | nn.GroupNorm)]
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters())


def some(data: ImageData, train: int, test: int, seed: int = 0) -> ImageData:
    """The same data set with so many training and test images, picked at random, or all it has."""
    return replace(data, train=data.train.draw(train, seed), test=data.test.draw(test, seed))


def tiny_network(norm: nn.Module, classes: int, channels: int = 8, seed: int = 1) -> nn.Module:
    """One convolution at half size, ``norm``, ReLU, averages over 4×4 cells, one linear layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, channels, 5, stride=2, padding=2, bias=False),
            norm,
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * channels, classes),
        )


@torch.no_grad()
def outputs(
    model: nn.Module,
    images: torch.Tensor,
    data: ImageData,
    *,
    train_mode: bool = False,
    contrast: float = 1.0,
    to_black: bool = False,
) -> torch.Tensor:
    """The model's outputs for uint8 images ``(N, 3, H, W)``, all in one batch, on the CPU.

    ``contrast`` fades each image towards the data set's mean colour, or ``to_black``, before the
    model sees it. A copy of the model does the work: its mode and batch norm's running statistics
    stay as they are.
    """
    device = next(model.parameters()).device
    normalise = Normaliser(data.mean, data.std, device)
    x = normalise(images.to(device))
    # The input normalisation turns the mean colour into 0.
    goal = normalise(torch.zeros_like(images[:1]).to(device)) if to_black else 0.0
    return copy.deepcopy(model).train(train_mode)(goal + contrast * (x - goal)).cpu()


def changes(
    model: nn.Module,
    photo: torch.Tensor,
    mates: torch.Tensor,
    others: torch.Tensor,
    data: ImageData,
) -> dict[str, float]:
    """By how much the model's outputs for ``photo`` change, at most, with company and mode.

    ``photo`` is one uint8 image ``(1, 3, H, W)``; ``mates`` and ``others`` are two equally large
    sets of images that share its batch in turn.
    """

    def answer(company: torch.Tensor, train_mode: bool) -> torch.Tensor:
        return outputs(model, torch.cat([photo, company]), data, train_mode=train_mode)[0]

    in_eval, in_train = answer(mates, False), answer(mates, True)
    gaps = {
        "other batch mates in eval mode": in_eval - answer(others, False),
        "other batch mates in train mode": in_train - answer(others, True),
        "train mode instead of eval mode": in_train - in_eval,
    }
    return {what: gap.abs().max().item() for what, gap in gaps.items()}


def accuracy(
    model: nn.Module,
    images: ImageSet,
    data: ImageData,
    contrast: float = 1.0,
    to_black: bool = False,
) -> float:
    """Accuracy in % on ``images``, faded as ``outputs`` does it, in eval mode."""
    said = outputs(model, images.images, data, contrast=contrast, to_black=to_black).argmax(1)
    return 100 * (said == images.labels).float().mean().item()
