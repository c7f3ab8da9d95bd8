"""A look inside a network: while it trains, and at what its answers rest on.

All of it is done by hooks, and whatever happens meanwhile, they are taken off again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from common.data import ImageSet, Normaliser

if TYPE_CHECKING:
    from common.data import ImageData

WHAT = ("spread", "gradient", "dead", "ratio")


class Inside:
    """What goes on in some layers of a network while it trains, looked at every so many steps.

    >>> with Inside(net, net.layers, every=10) as seen:
    ...     fit(net, data, recipe)
    >>> seen.spread  # a row a look, a number a layer

    It works with any training loop, whatever the optimiser. Only steps in train mode are counted:
    tests in between are left alone. What was seen stays when the hooks have gone.

    Args:
        model: the network.
        layers: of it, from the input to the output.
        every: look at the first step of so many.

    Attributes:
        steps: at which it looked, from 1.
        spread: the standard deviation of each layer's output, over the batch.
        gradient: the same of the loss's gradient with respect to that output.
        dead: the share of each layer's units (channels) that were positive nowhere, in no image of
            the batch. Behind a ReLU these pass nothing on, and learn nothing.
        ratio: how far the step moved each layer's weights, as a share of their size: |Δw| / |w|,
            over all of its parameters with two dimensions or more.
        seconds: how long the looking took, so far.

    All but the first and the last are lists of rows, ``(looks, layers)``, with NaN for what did not
    come to pass. Raises ``ValueError`` without layers, for one that is not the network's, or for
    ``every`` below 1.
    """

    def __init__(self, model: nn.Module, layers: Sequence[nn.Module], *, every: int = 10) -> None:
        layers = list(layers) if isinstance(layers, Iterable) else []
        if not layers or not set(layers) <= set(model.modules()):
            raise ValueError("Name layers of this network, such as net.layers, one or more.")
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"every is {every}: look at one step of 1, of 10 or of more.")
        self.model, self.layers, self.every = model, layers, every
        self.weights = [[p for p in layer.parameters() if p.dim() > 1] for layer in layers]
        self.steps: list[int] = []
        self.spread: list[list[float]] = []
        self.gradient: list[list[float]] = []
        self.dead: list[list[float]] = []
        self.ratio: list[list[float]] = []
        self.seconds = 0.0
        self._count, self._hooks, self._looking = 0, [], False

    def __enter__(self) -> Inside:
        self._hooks = [self.model.register_forward_pre_hook(self._begin)]
        for place, layer in enumerate(self.layers):
            self._hooks.append(layer.register_forward_hook(partial(self._see, place)))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        self._end(moved=kind is None)

    @torch.no_grad()
    def _begin(self, model: nn.Module, _: Any) -> None:
        """Before each pass: note what the step before has done, and whether to look at this one."""
        if not model.training:
            return
        started = time.perf_counter()
        self._end(moved=True)
        if self._count % self.every == 0:
            self._looking, self._on_outputs = True, []
            self._before = [[w.detach().clone() for w in mine] for mine in self.weights]
            nothing = torch.full((len(self.layers),), math.nan)
            self._now = {what: nothing.clone() for what in WHAT}
        self._count += 1
        self.seconds += time.perf_counter() - started

    def _see(self, place: int, _: nn.Module, __: Any, output: Tensor) -> None:
        if not (self._looking and self.model.training):
            return
        started = time.perf_counter()
        with torch.no_grad():
            self._now["spread"][place] = _spread(output)
            others = [axis for axis in range(output.dim()) if axis != 1]
            # A sum, for the largest value of each channel takes ten times as long.
            self._now["dead"][place] = (output.relu().sum(others) == 0).float().mean()
        if output.requires_grad:
            self._on_outputs.append(output.register_hook(partial(self._feel, place)))
        self.seconds += time.perf_counter() - started

    def _feel(self, place: int, gradient: Tensor) -> None:
        started = time.perf_counter()
        self._now["gradient"][place] = _spread(gradient)
        self.seconds += time.perf_counter() - started

    def _end(self, *, moved: bool) -> None:
        """A row more of everything, if the step that has ended was looked at."""
        if not self._looking:
            return
        self._looking = False
        for hook in self._on_outputs:
            hook.remove()
        if moved:
            for place, (mine, before) in enumerate(zip(self.weights, self._before, strict=True)):
                self._now["ratio"][place] = _step(mine, before)
        self.steps.append(self._count)
        for what in WHAT:
            getattr(self, what).append(self._now[what].tolist())


def _spread(values: Tensor) -> Tensor:
    """The standard deviation; a third of the time that ``std`` takes."""
    return torch.linalg.vector_norm(values - values.mean()) / math.sqrt(values.numel())


def _step(weights: Sequence[Tensor], before: Sequence[Tensor]) -> float:
    """|Δw| / |w| of several tensors as one; NaN where there is nothing to move."""
    size = sum(w.square().sum() for w in before)
    moved = sum((w.detach() - w0).square().sum() for w, w0 in zip(weights, before, strict=True))
    return math.sqrt(moved / size) if before and size > 0 else math.nan


def grad_cam(
    model: nn.Module,
    layer: nn.Module,
    images: Tensor,
    data: ImageData,
    classes: Tensor,
) -> Tensor:
    """Where in each image the evidence for a class lies, as a layer's maps have it: Grad-CAM.

    The layer's maps A are summed, each with the mean of its gradient as its weight, and only what
    speaks for the class is kept: ReLU(Σ_k α_k A_k), α_k the mean over all positions of the
    gradient of the class's output with respect to A_k.

    Args:
        model: gives an output a class, ``(N, classes)``.
        layer: of it, with output ``(N, C, h, w)``.
        images: uint8 ``(N, 3, H, W)``.
        data: whose mean and deviation they are normalised with.
        classes: the class asked about, one an image, ``(N,)``.

    Returns ``(N, h, w)`` on the CPU, 0 and above. The network stays as it was: its mode, its
    gradients, its hooks. Raises ``ValueError`` for a layer that the network does not use, or
    whose output is no map, and unless there is an image of 8 bits, and a class for each.

    Source: Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
    localization", 2017. Of maps that go into an average and a linear layer it is the class
    activation map of Zhou et al., 2016.
    """
    ImageSet(images, classes).check("given", len(data.classes))
    device = next(model.parameters()).device
    # Needs a gradient itself, so that there is a graph even where the weights are frozen.
    x = Normaliser(data.mean, data.std, device)(images.to(device)).requires_grad_()
    outputs, maps = _with_output_of(model, layer, x)
    # In eval mode no image has a part in another's output, so one sum gives each its own gradient.
    chosen = outputs.gather(1, classes.to(device)[:, None]).sum()
    gradient = None
    if maps is not None and maps.dim() == 4:
        (gradient,) = torch.autograd.grad(chosen, maps, allow_unused=True)
    if gradient is None:
        raise ValueError("Grad-CAM needs a layer that the network uses and that gives maps.")
    weights = gradient.mean((2, 3), keepdim=True)
    return torch.relu((weights * maps).sum(1)).detach().cpu()


def _with_output_of(model: nn.Module, layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """What the network makes of ``x`` in eval mode, and what the layer gave meanwhile."""
    found: list[Tensor] = []
    was_training = model.training
    hook = layer.register_forward_hook(lambda _, __, output: found.append(output))
    model.eval()
    try:
        with torch.enable_grad():
            outputs = model(x)
        return outputs, found[-1] if found else None
    finally:
        hook.remove()
        model.train(was_training)
