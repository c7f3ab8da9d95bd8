"""A device that every machine has: tensors in the CPU's memory that behave as if elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.overrides import TorchFunctionMode

from common.exercises.inputs import Inputs

# A name that PyTorch knows; nothing is ever put there.
_AWAY = torch.device("meta")
# These may meet a tensor of another device on every machine.
_COPIES = ("to", "copy_", "__setitem__", "__set__", "_has_compatible_shallow_copy_type")


class Elsewhere(torch.Tensor):
    """A tensor with values, on a pretended device. What is computed from it is there as well."""


class PretendedDevice(TorchFunctionMode):
    """Within this block an `Elsewhere` meets no tensor of the CPU, as on a GPU.

    `.device`, `.to`, `.cpu` and `device=` know the pretended device; `.item` and printing work.
    made_here: whether any tensor was made on the CPU or brought there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made_here = False

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run one of PyTorch's functions."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        away = any(isinstance(t, Elsewhere) for t in _tensors((args, kwargs)))
        if away and func == torch.Tensor.device.__get__:
            return _AWAY
        if away and func == torch.Tensor.grad.__get__:
            # PyTorch hands it out without asking the subclass.
            gradient = func(*args)
            return gradient if gradient is None else gradient.as_subclass(Elsewhere)
        if away and name in ("numpy", "__array__"):
            raise TypeError("can't convert a tensor of another device to numpy: .cpu() comes first")
        if away and name == "cpu":
            self.made_here = True
            return args[0].as_subclass(torch.Tensor)
        if away and name in ("__format__", "__repr__"):
            return func(args[0].as_subclass(torch.Tensor), *args[1:], **kwargs)
        if name not in _COPIES:
            # Numbers (no axes) and indices may live on the CPU; what torch.func wraps (vjp, grad)
            # does not say where it lives.
            values = [
                t
                for t in _tensors((args, kwargs))
                if t.dim() and t.is_floating_point() and not is_functorch_wrapped_tensor(t)
            ]
            if len({isinstance(t, Elsewhere) for t in values}) > 1:
                raise RuntimeError("expected all tensors on the same device")
        target = _target(name, args, kwargs)
        if target is None:
            result = func(*args, **kwargs)
            self.made_here |= bool(_tensors(result)) and not _tensors((args, kwargs))
            return result
        self.made_here |= target != _AWAY
        args = tuple("cpu" if _is_device(arg) else arg for arg in args)
        kwargs = {key: "cpu" if _is_device(arg) else arg for key, arg in kwargs.items()}
        result = func(*args, **kwargs)
        return result.as_subclass(Elsewhere if target == _AWAY else torch.Tensor)


def elsewhere(i: Inputs) -> Inputs:
    """The inputs on the pretended device."""
    return Inputs(
        **{name: t.as_subclass(Elsewhere) for name, t in i.tensors.items()},
        affine=i.affine,
        eps=i.eps,
        groups=i.groups,
    )


def move(layer: nn.Module, x: torch.Tensor) -> nn.Module:
    """Give a layer the dtype and device of x, as `layer.to(x)` does on real devices."""
    layer.to(x.dtype)
    if isinstance(x, Elsewhere):
        for part in layer.modules():
            for tensors in (part._parameters, part._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensors[name] = tensor.detach().as_subclass(Elsewhere)
    return layer


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return []
    return [tensor for item in value for tensor in _tensors(item)]


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device) or (
        isinstance(value, str) and value.startswith(("cpu", "meta", "cuda"))
    )


def _target(name: str, args: tuple, kwargs: dict) -> torch.device | None:
    """The device that a call asks for; None if it asks for none."""
    if name in ("to", "type_as") and len(args) > 1 and isinstance(args[1], torch.Tensor):
        return _AWAY if isinstance(args[1], Elsewhere) else torch.device("cpu")
    asked = [kwargs["device"]] if _is_device(kwargs.get("device")) else []
    if name == "to":
        asked += [arg for arg in args[1:] if _is_device(arg)]
    return torch.device(asked[0]) if asked else None
