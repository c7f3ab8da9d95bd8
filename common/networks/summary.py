"""torchsummary's table of a network, taken without disturbing the network.

Called directly, ``torchsummary.summary`` runs the model itself on noise: in train mode this moves
BatchNorm's running statistics, it draws from the global random numbers, and a call that fails
leaves its hooks behind. Here it gets a copy.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import nn

from common.networks.blocks import Residual
from common.networks.registry import count_parameters

LARGEST = 1024  # pixels; the table is made by a forward pass, which takes memory


def summary(model: nn.Module, image_shape: tuple[int, int, int] = (3, 32, 32)) -> str:
    """The table that torchsummary prints for ``model``, as text.

    Args:
        model: any module that takes images ``(N, C, H, W)``, on any device.
        image_shape: ``(C, H, W)`` of one image.

    The model, its running statistics, mode and hooks and the random state stay as they are, even
    where the call fails. Sizes in the table assume four bytes a value, and the rows are those of
    the model in eval mode.

    Raises ``ValueError`` for an image shape other than three positive whole numbers and for a
    model in which torchsummary finds no parameters, such as a single layer. What the model's
    forward pass raises goes through.
    """
    import torchsummary  # for this table alone: networks are built without it

    missed = parameters_missed(model, image_shape)
    if sum(missed.values()) == count_parameters(model):
        raise ValueError(
            "torchsummary finds no parameters in this model. It looks at the layers inside a "
            "model, not at the model itself: wrap a single layer in nn.Sequential."
        )
    text = io.StringIO()
    with _undisturbed(model) as twin, contextlib.redirect_stdout(text):
        torchsummary.summary(twin, tuple(image_shape), device="cpu")
    return text.getvalue().strip("\n")


def parameters_missed(
    model: nn.Module, image_shape: tuple[int, int, int] = (3, 32, 32)
) -> dict[str, int]:
    """The parameters that torchsummary's table leaves out: name → number of values.

    It counts the attributes called ``weight`` and ``bias`` of each layer that is called in the
    forward pass, except of the model itself, of a ``Sequential`` and of a ``ModuleList``. Any
    other parameter is missing from its rows and from its total. Same arguments and errors as
    ``summary``; the model is left alone in the same way.
    """
    _check_shape(image_shape)
    called: set[int] = set()
    with _undisturbed(model) as twin:
        layers = [
            layer
            for layer in twin.modules()
            if layer is not twin and not isinstance(layer, nn.Sequential | nn.ModuleList)
        ]
        for layer in layers:
            layer.register_forward_hook(lambda module, *_: called.add(id(module)))
        twin(torch.zeros(2, *image_shape))
        counted = {
            id(parameter)
            for layer in layers
            if id(layer) in called
            for parameter in (getattr(layer, "weight", None), getattr(layer, "bias", None))
        }
        return {
            name: parameter.numel()
            for name, parameter in twin.named_parameters()
            if id(parameter) not in counted
        }


def skips_missed(model: nn.Module) -> list[str]:
    """The names of the skip connections in ``model``: sums that torchsummary gives no row.

    Finds the ``common.networks.Residual`` blocks; an addition written out in another network's
    ``forward`` can't be found this way.
    """
    return [name for name, module in model.named_modules() if isinstance(module, Residual)]


def _check_shape(image_shape: tuple[int, int, int]) -> None:
    if len(image_shape) != 3 or not all(isinstance(n, int) and n > 0 for n in image_shape):
        raise ValueError(
            f"image_shape is {tuple(image_shape)}; it takes three positive whole numbers, "
            "(channels, height, width), for instance (3, 32, 32)."
        )
    if max(image_shape[1:]) > LARGEST:
        raise ValueError(
            f"Images of {image_shape[1]} × {image_shape[2]} pixels would fill the memory; choose "
            f"at most {LARGEST} × {LARGEST}."
        )


@contextlib.contextmanager
def _undisturbed(model: nn.Module) -> Iterator[nn.Module]:
    """A copy of the model on the CPU, in eval mode, without hooks; random state given back."""
    # The reader's own hooks, say those that record activations, are not for this pass, and what
    # they have recorded may refuse to be copied: the copy gets empty hooks in their place.
    no_hooks = {
        id(hooks): OrderedDict()
        for module in model.modules()
        for hooks in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    }
    twin = copy.deepcopy(model, no_hooks).to("cpu", torch.float32).eval()
    # The random state of the CPU alone: nothing here runs on another device.
    with torch.no_grad(), torch.random.fork_rng(devices=[]), torch.device("cpu"):
        yield twin
