"""Helpers of the LayerNorm lesson: what would be too long for a cell of the notebook."""

from __future__ import annotations

import copy

import torch
from model import NETWORKS
from torch import nn

from common.data import ImageData, ImageSet, Normaliser
from common.experiments import trainer

trained = trainer(NETWORKS)
BATCH = 200  # images at a time: more would only fill the memory


def norm_parameters(model: nn.Module) -> int:
    """How many values of the model's parameters belong to its layer and group norms."""
    layers = [m for m in model.modules() if isinstance(m, nn.LayerNorm | nn.GroupNorm)]
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters())


@torch.no_grad()
def outputs(
    model: nn.Module,
    images: torch.Tensor,
    data: ImageData,
    *,
    contrast: float = 1.0,
    to_black: bool = False,
) -> torch.Tensor:
    """The model's outputs for uint8 images ``(N, 3, H, W)``, in eval mode, on the CPU.

    ``contrast`` fades each image towards the data set's mean colour, or ``to_black``, before the
    model sees it. A copy of the model does the work: its mode stays as it is.
    """
    device = next(model.parameters()).device
    normalise = Normaliser(data.mean, data.std, device)
    # The input normalisation turns the mean colour into 0.
    goal = normalise(torch.zeros_like(images[:1]).to(device)) if to_black else 0.0
    model = copy.deepcopy(model).eval()
    parts = (normalise(part.to(device)) for part in images.split(BATCH))
    return torch.cat([model(goal + contrast * (x - goal)).cpu() for x in parts])


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
