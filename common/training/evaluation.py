"""A trained network's answers in evaluation mode, and how good they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from common.data import Normaliser, resized
from common.frontends import steps
from common.training.history import Score

if TYPE_CHECKING:
    from common.data import ImageData, ImageSet


def predict(
    model: nn.Module,
    images: ImageSet,
    data: ImageData,
    *,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    size: int | None = None,
    watch: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """The model's outputs for ``images`` in evaluation mode: float32 ``(N, classes)`` on the CPU.

    The model is moved to ``device`` (by default it stays where it is) and its training flag is
    put back afterwards. ``batch_size`` is 250 on a CPU, where larger ones only take more memory
    than a training step, and 2,000 elsewhere. ``size`` is the shorter side, in pixels, that the
    images are brought down to first (by default they stay as they are). ``watch`` is told after
    each batch how many images it had; without it a bar comes if this takes long.
    """
    device = torch.device(device) if device else next(model.parameters()).device
    batch_size = batch_size or (250 if device.type == "cpu" else 2000)
    model.to(device)
    normalise = Normaliser(data.mean, data.std, device)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            parts, batches = [], images.images.split(batch_size)
            for x in batches if watch else steps(batches, f"{len(images):,} images"):
                parts.append(model(resized(normalise(x.to(device)), size)))
                if watch:
                    watch(len(x))
            return torch.cat(parts).float().cpu()
    finally:
        model.train(was_training)


def evaluate(
    model: nn.Module,
    images: ImageSet,
    data: ImageData,
    *,
    device: str | torch.device | None = None,
    size: int | None = None,
    watch: Callable[[int], None] | None = None,
) -> Score:
    """Mean cross-entropy and accuracy of ``model`` on ``images``, in evaluation mode.

    ``device``, ``size`` and ``watch`` are those of ``predict``. Raises ``ValueError`` if there is
    no image.
    """
    if not len(images):
        raise ValueError("There are no images to evaluate the network on; give at least one.")
    outputs = predict(model, images, data, device=device, size=size, watch=watch)
    loss = F.cross_entropy(outputs, images.labels).item()
    right = (outputs.argmax(1) == images.labels).sum().item()
    return Score(loss, 100 * right / len(images.labels))
