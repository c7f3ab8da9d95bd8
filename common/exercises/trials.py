"""The trials that every function goes through; the first that fails decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from common.exercises.inputs import (
    Inputs,
    alike,
    as_tensors,
    difference,
    name_of_dtype,
    sample,
    worst,
)
from common.exercises.mistakes import CONSTANT, RIGHT_WAY, explain
from common.exercises.tasks import Statistics
from common.exercises.verdict import Verdict, Wrong, hint_for, told, verdict_of


def examine(function: Callable, task: Statistics, reveal: bool = True) -> Verdict:
    """Put the learner's function through all trials; the first that fails decides."""

    def trials() -> None:
        run = task.prepare(function)
        for trial in (
            _try_ordinary_input,
            _try_large_mean,
            _try_float64,
            _try_device,
            _try_gradient,
            _try_memory_layouts,
            _try_sizes,
        ):
            trial(run, task)
        task.extra(run)

    return verdict_of(function, trials, task.success, reveal)


def _try_ordinary_input(function: Callable, task: Statistics) -> None:
    i = sample(task.layout)
    before = [t.clone() for t in i.tensors]
    got = as_tensors(task.call(function, i), task.names)
    original = replace(i, x=before[0], gamma=before[1], beta=before[2])
    _compare(function, task, original, got)
    for name, value, old in zip(("x", "gamma", "beta"), i.tensors, before, strict=True):
        if not torch.equal(value, old):
            raise Wrong(
                f"The result is right, but your code changed its input {name}.",
                f"{name} is changed in place (-=, /=, .sub_(), out= or an assignment into "
                f"{name}[…]): make a new tensor, as in y = {name} − mean.",
            )


def _compare(
    function: Callable, task: Statistics, i: Inputs, got: tuple[torch.Tensor, ...]
) -> None:
    """Raise Wrong, with the mistake's name if it is known, unless `got` is right."""
    right = task.expected(i)
    if alike(got, right):
        return
    hint = task.special(i, got)
    seen = [(i, got), *_second_look(function, task, i)]
    wrong = [not alike((a,), (b,)) for a, b in zip(got, right, strict=True)].index(True)
    # One mistake in all results explains more than one in the first that is wrong.
    for results in (slice(None), slice(wrong, wrong + 1)):
        hint = hint or explain(
            lambda way, results=results: all(
                alike(result[results], task.by(way, inputs)[results]) for inputs, result in seen
            ),
            RIGHT_WAY[task.layout],
            task.mistakes(),
        )
    for name, yours, mine in zip(task.names, got, right, strict=True):
        if yours.shape != mine.shape:
            if not hint and yours.numel() == mine.numel():
                hint = (
                    f"squeeze or flatten the result; {tuple(mine.shape)} has no axes of length 1 "
                    "for the axes averaged away."
                )
            raise Wrong(
                f"For x of shape {tuple(i.x.shape)} the {name} has the shape "
                f"{tuple(yours.shape)}, not {tuple(mine.shape)}.",
                hint or f"check the axes: S runs over {RIGHT_WAY[task.layout].words}.",
            )
    name, mine, yours = worst(task.names, got, right)
    raise Wrong(
        f"The {name} is wrong: {difference(yours, mine)}.",
        hint or "go through the formula step by step: mean over S, variance over S, y.",
    )


def _second_look(
    function: Callable, task: Statistics, i: Inputs
) -> list[tuple[Inputs, tuple[torch.Tensor, ...]]]:
    """What the function makes of a small spread, which tells a missing eps from a fixed one."""
    small = replace(i, x=i.x / 100, eps=1e-4)
    try:
        copies = replace(small, x=small.x.clone(), gamma=i.gamma.clone(), beta=i.beta.clone())
        return [(small, as_tensors(task.call(function, copies), task.names))]
    except Exception:
        # It worked once; the first look must do.
        return []


def _try_large_mean(function: Callable, task: Statistics) -> None:
    i = sample(task.layout)
    i = replace(i, x=(i.x - i.x.mean()) / i.x.std() + 10_000, eps=1e-5)
    right = task.expected(i.to(torch.float64))
    got = as_tensors(task.call(function, i), task.names)
    if not alike(got, right, rtol=3e-2, atol=3e-2):
        name, mine, yours = worst(task.names, got, right)
        raise Wrong(
            f"For values around 10,000 with a spread of 1 the {name} is wrong, although it is "
            f"right for values around 0: {difference(yours, mine)}.",
            "E[x²] − E[x]² is the difference of two huge numbers, and float32 keeps only about 7 "
            "digits of each: subtract the mean first, then average (x − mean)².",
        )


def _try_float64(function: Callable, task: Statistics) -> None:
    i = sample(task.layout).to(torch.float64)
    got = as_tensors(task.call(function, i), task.names)
    right = task.expected(i)
    for name, yours, mine in zip(task.names, got, right, strict=True):
        if yours.dtype != torch.float64:
            raise Wrong(
                f"For a float64 input the {name} comes back as {name_of_dtype(yours)}.",
                "wrong dtype: a new tensor takes its dtype from x (x.new_zeros(…), "
                "torch.zeros_like(x), dtype=x.dtype), and nothing is converted by .float().",
            )
        if not alike((yours,), (mine,), rtol=1e-10, atol=1e-10):
            raise Wrong(
                f"For a float64 input the {name} is only as precise as float32.",
                "wrong dtype: somewhere on the way the values are converted to float32 (.float(), "
                "torch.zeros(…) without dtype=x.dtype).",
            )


class _OneDevice(TorchFunctionMode):
    """Refuses to mix devices, as a GPU does; the "meta" device by itself is lenient."""

    # These may cross devices on every machine; with the last two, nn.Module.to moves a layer.
    _COPIES = ("to", "copy_", "__setitem__", "__set__", "_has_compatible_shallow_copy_type")

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") not in self._COPIES:
            flat = [
                item
                for value in (*args, *kwargs.values())
                for item in (value if isinstance(value, (tuple, list)) else (value,))
            ]
            # Numbers (no axes) and indices may live on the CPU.
            devices = {
                item.device.type
                for item in flat
                if isinstance(item, torch.Tensor) and item.dim() and item.is_floating_point()
            }
            if len(devices) > 1:
                raise RuntimeError("expected all tensors on the same device")
        return func(*args, **kwargs)


def _try_device(function: Callable, task: Statistics) -> None:
    """Run on the "meta" device, which every machine has and which computes shapes only."""
    hint = (
        "wrong device: a new tensor must be made where x lives (x.new_zeros(…), "
        "torch.zeros_like(x), device=x.device), and nothing is moved by .cpu()."
    )
    try:
        i = sample(task.layout).to("meta")
        with _OneDevice():
            got = as_tensors(task.call(function, i), task.names)
    except Exception as error:
        # Other complaints come from what "meta" cannot do, such as .item() in a loop.
        if "same device" in str(error) or "Cannot copy out of meta" in str(error):
            raise Wrong("Your code fails where x is not on the CPU.", hint) from None
        return
    for name, value in zip(task.names, got, strict=True):
        if value.device.type != "meta":
            raise Wrong(f"The {name} is on the CPU although x is on another device.", hint)


def _try_gradient(function: Callable, task: Statistics) -> None:
    i = sample(task.layout).to(torch.float64)
    generator = torch.Generator().manual_seed(1)
    # Not centred on 0: the gradient through the mean sums over the direction.
    directions = [
        torch.randn(t.shape, generator=generator, dtype=t.dtype) + 1 for t in task.expected(i)
    ]

    def gradients(compute: Callable[[Inputs], Any]) -> tuple[torch.Tensor | None, ...]:
        leaves = i.leaves()
        results = [
            (result, direction)
            for result, direction in zip(
                as_tensors(compute(leaves), task.names), directions, strict=True
            )
            if result.requires_grad
        ]
        wanted = [tensor for _, tensor in task.differentiable(leaves)]
        if not results:
            return (None,) * len(wanted)
        return torch.autograd.grad(
            [r for r, _ in results], wanted, [d for _, d in results], allow_unused=True
        )

    got = gradients(lambda leaves: task.call(function, leaves))
    right = gradients(task.expected)
    names = [name for name, _ in task.differentiable(i)]
    if any(g is None for g in got):
        lost = [name for name, g in zip(names, got, strict=True) if g is None]
        both = " and ".join(lost)
        raise Wrong(
            f"The values are right, but no gradient reaches {both}.",
            CONSTANT.format("the result passes on" if len(lost) == len(names) else f"{both} gets"),
        )
    for name, yours, mine in zip(names, got, right, strict=True):
        if not alike((yours,), (mine,), rtol=1e-6, atol=1e-8):
            hint = ""
            for constant in (("mean", "variance"), ("variance",), ("mean",)):
                way = replace(RIGHT_WAY[task.layout], constant=constant)
                if alike(got, gradients(lambda leaves, way=way: task.by(way, leaves)), rtol=1e-6):
                    words = " and ".join(f"the {word}" for word in constant)
                    hint = CONSTANT.format(f"{words} {'pass' if constant[1:] else 'passes'} on")
                    break
            off = float((yours - mine).norm() / mine.norm())
            raise Wrong(
                f"The values are right, but the gradient to {name} is off by {off:.0%}.",
                hint or CONSTANT.format("a part of the result passes on"),
            )


def _try_memory_layouts(function: Callable, task: Statistics) -> None:
    i = sample(task.layout)
    layouts = {
        "channels_last": i.x.contiguous(memory_format=torch.channels_last),
        "transposed": i.x.transpose(2, 3).contiguous().transpose(2, 3),
    }
    for name, x in layouts.items():
        got = as_tensors(task.call(function, replace(i, x=x)), task.names)
        if not alike(got, task.expected(i)):
            raise Wrong(
                f"For the same values in another order in memory ({name}) the result is wrong.",
                "do not rely on how x lies in memory (.stride(), as_strided): use .reshape().",
            )


def _try_sizes(function: Callable, task: Statistics) -> None:
    trials = [((1, 4, 1, 3), 2), ((2, 6, 1, 1), 3), ((3, 8, 2, 5), 4), ((4, 4, 4, 4), 1)]
    of_sizes = (
        "is a size written as a number, or taken from the wrong axis? Or does .squeeze() remove an "
        "axis that happens to have length 1?"
    )
    if task.layout == "batch":
        trials += [((2, 1, 1, 1), 1), ((3, 1, 2, 2), 1)]
    if task.layout == "group":
        trials += [((4, 4, 4, 4), 4)]
    for shape, groups in trials:
        i = replace(sample(task.layout, shape).to(torch.float64), groups=groups)
        with_groups = f" and {groups} groups" if task.layout == "group" else ""
        where = f"for x of shape {shape}{with_groups}"
        try:
            got = as_tensors(task.call(function, i), task.names)
        except Exception as error:
            raise Wrong(
                f"Your code fails {where} with {told(error)}.", hint_for(error, of_sizes)
            ) from None
        if not alike(got, task.expected(i)):
            raise Wrong(
                f"The result is right for most shapes, but not {where}.",
                of_sizes,
            )
