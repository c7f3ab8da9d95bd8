"""A trained network's answers in evaluation mode, and how good they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from common import settings
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
    if device:
        device = settings.pick_device(str(device))
    else:  # of a model without parameters, say a stack of pooling: anywhere will do
        device = next(model.parameters(), torch.empty(0)).device
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

    ``device``, ``size`` and ``watch`` are those of ``predict``. Raises ``ValueError`` for images
    that are no uint8 ``(N, 3, H, W)`` with a label each, or none, and for a network of another
    number of classes.
    """
    images.check("given", len(data.classes))
    outputs = predict(model, images, data, device=device, size=size, watch=watch)
    check_shape(outputs, len(images), len(data.classes))
    loss = F.cross_entropy(outputs, images.labels).item()
    right = (outputs.argmax(1) == images.labels).sum().item()
    return Score(loss, 100 * right / len(images.labels))


def check_shape(outputs: object, images: int, classes: int) -> None:
    """Raise ``ValueError`` unless these are a network's outputs, ``(images, classes)``."""
    if not isinstance(outputs, torch.Tensor) or outputs.shape != (images, classes):
        is_tensor = isinstance(outputs, torch.Tensor)
        given = tuple(outputs.shape) if is_tensor else type(outputs).__name__
        raise ValueError(
            f"For {images} images of {classes} classes the network gives {given}; it must be "
            f"({images}, {classes}). Build it with classes={classes}."
        )


def are_probabilities(outputs: torch.Tensor) -> bool:
    """Whether these outputs ``(N, classes)`` have been through a softmax already."""
    total = outputs.float().sum(1)
    return bool(outputs.min() >= 0) and torch.allclose(total, torch.ones_like(total), atol=1e-3)


class Reliability(NamedTuple):
    """How sure a network is, and how often it is right, in bins of equal width, from 0 to 100 %.

    Attributes:
        confidence: mean of each bin in %, ``(bins,)``; NaN where there is no image.
        accuracy: likewise.
        count: images in each bin.
        error: the expected calibration error in points: the distance between the two, averaged
            over the images.
        excess: mean confidence minus accuracy of all images, in points: above 0 it is too sure.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    error: float
    excess: float


def reliability(logits: torch.Tensor, labels: torch.Tensor, bins: int = 15) -> Reliability:
    """Whether a network's confidence, its largest probability, can be taken at its word.

    Args:
        logits: logits or log-probabilities ``(N, classes)``.
        labels: ``(N,)``.
        bins: a bin holds the confidences above its lower edge, up to its upper one.

    Raises ``ValueError`` if there is no image or no bin, for another number of labels than rows of
    logits, labels that no class has, and logits that are no numbers, or probabilities.

    Source: Guo et al., "On calibration of modern neural networks", 2017; 15 bins are theirs.
    """
    if not (len(labels) and isinstance(bins, int) and bins >= 1):
        raise ValueError(f"{len(labels)} images in {bins} bins: give at least one of each.")
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"Logits {tuple(logits.shape)} and labels {tuple(labels.shape)} do not belong "
            "together: give (N, classes) and (N,)."
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"The labels go from {labels.min()} to {labels.max()}; of {logits.shape[1]} classes "
            f"they must go from 0 to {logits.shape[1] - 1}."
        )
    if logits.isnan().any() or are_probabilities(logits):
        what = "no numbers" if logits.isnan().any() else "probabilities"
        raise ValueError(f"The logits are {what}: give what the network does, before any softmax.")
    sure, said = logits.double().softmax(1).max(1)
    right = (said == labels).double()
    place = ((sure * bins).ceil().long() - 1).clamp(0, bins - 1)
    count = torch.bincount(place, minlength=bins).double()
    confidence, accuracy = (
        100 * torch.bincount(place, weights=values, minlength=bins) / count
        for values in (sure, right)
    )
    gaps = (confidence - accuracy).abs().nan_to_num() * count
    return Reliability(
        confidence.numpy(),
        accuracy.numpy(),
        count.long().numpy(),
        (gaps.sum() / count.sum()).item(),
        100 * (sure.mean() - right.mean()).item(),
    )
