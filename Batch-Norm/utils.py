"""What the BatchNorm lesson needs and no other: its two modes and its statistics, made visible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from model import NETWORKS
from torch import nn
from torch.nn.functional import cross_entropy

from common.data import ImageData, Normaliser
from common.experiments import trainer
from common.frontends import steps

trained = trainer(NETWORKS)


def norm_layers(net: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch norm layers of ``net``, from the input to the output."""
    return [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]


@contextmanager
def batch_mode(net: nn.Module) -> Iterator[None]:
    """Let every batch norm of ``net`` use the batch's own statistics inside the block.

    This is train mode for the norm layers alone, and nothing is learnt from it: the running
    statistics stay as they are. Afterwards each layer is in the mode it was in before.
    """
    layers = norm_layers(net)
    before = [(layer.training, layer.momentum) for layer in layers]
    try:
        for layer in layers:
            layer.train().momentum = 0.0  # the weight of a new batch in the running statistics
        yield
    finally:
        for layer, (training, momentum) in zip(layers, before, strict=True):
            layer.train(training).momentum = momentum


@contextmanager
def recording(layer: nn.BatchNorm2d) -> Iterator[dict[str, torch.Tensor]]:
    """Note the statistics of each batch that passes ``layer``, and the running ones after it.

    The dictionary is filled when the block ends: ``batch_mean``, ``running_mean``, ``batch_var``
    (unbiased, as ``running_var`` takes it) and ``running_var``, each ``(steps, C)``.
    """
    record: dict[str, torch.Tensor] = {}
    rows = []

    def note(layer: nn.BatchNorm2d, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        variance, mean = torch.var_mean(inputs[0].detach(), (0, 2, 3))
        rows.append((mean, layer.running_mean.clone(), variance, layer.running_var.clone()))

    hook = layer.register_forward_hook(note)
    try:
        yield record
    finally:
        hook.remove()
    names = ("batch_mean", "running_mean", "batch_var", "running_var")
    record.update(zip(names, map(torch.stack, zip(*rows, strict=True)), strict=False))


def draw_test_images(
    data: ImageData, count: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """At most ``count`` test images in random order, normalised ``(N, 3, H, W)``, and labels."""
    drawn = data.test.draw(count, seed)
    normalise = Normaliser(data.mean, data.std, torch.device("cpu"))
    return normalise(drawn.images), drawn.labels


@torch.no_grad()
def outputs(net: nn.Module, x: torch.Tensor, batch_size: int) -> torch.Tensor:
    """What ``net``, in the mode it is in, makes of ``x`` cut into batches: ``(N, classes)``."""
    batches = x.split(batch_size)
    return torch.cat([net(part) for part in steps(batches, f"batches of {batch_size}")])


def accuracy(net: nn.Module, x: torch.Tensor, y: torch.Tensor, batch_size: int) -> float:
    """Accuracy in % of ``net``, in the mode it is in, on ``x`` cut into batches."""
    return 100 * (outputs(net, x, batch_size).argmax(1) == y).float().mean().item()


def backward_at(
    net: nn.Module, layers: Sequence[nn.BatchNorm2d], x: torch.Tensor, y: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The way back through norm layers of ``net``, in train mode, for a batch and its labels.

    For each layer three tensors with a row a channel, ``(C, |S|)``: the normalised values; the
    gradient of the loss by them, which arrives; and the one by the layer's input, which goes on,
    times the deviation.
    """
    seen: dict[nn.Module, list[torch.Tensor]] = {layer: [] for layer in layers}
    hooks = [
        hook
        for layer in layers
        for hook in (
            layer.register_forward_hook(lambda at, inputs, _: seen[at].append(inputs[0].detach())),
            layer.register_full_backward_hook(
                lambda at, *grads: seen[at].extend(grads[1] + grads[0])
            ),
        )
    ]
    try:
        cross_entropy(net(x), y).backward()
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for layer, tensors in seen.items():
        values, above, below = (part.transpose(0, 1).flatten(1) for part in tensors)
        variance, mean = torch.var_mean(values, 1, correction=0, keepdim=True)
        deviation = (variance + layer.eps).sqrt()
        scaled = layer.weight.detach()[:, None] * above
        found.append(((values - mean) / deviation, scaled, deviation * below))
    return found


def noise(
    net: nn.Module, layer: nn.BatchNorm2d, x: torch.Tensor, sizes: Sequence[int]
) -> list[float]:
    """How far the means of batches of each size scatter at one norm layer of ``net``.

    1,000 batches of each size are drawn from the images ``x``. The standard deviation of their
    means is taken in each channel of the layer's input, in units of the channel's own (running)
    standard deviation; the result is the average over the channels.
    """
    means: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: means.append(inputs[0].mean((2, 3))))
    try:
        outputs(net, x, batch_size=256)
    finally:
        hook.remove()
    of_images, unit = torch.cat(means), (layer.running_var + layer.eps).sqrt()
    draw = torch.Generator().manual_seed(0)
    drawn = (torch.randint(len(x), (1000, size), generator=draw) for size in steps(sizes, "sizes"))
    return [(of_images[batch].mean(1).std(0) / unit).mean().item() for batch in drawn]
