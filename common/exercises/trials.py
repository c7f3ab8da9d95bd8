"""The trials that every function goes through; the first that fails decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from common.exercises.devices import Elsewhere, PretendedDevice, elsewhere
from common.exercises.diagnosis import compare, digits_lost
from common.exercises.inputs import (
    LAYOUTS,
    Inputs,
    alike,
    as_tensors,
    difference,
    name_of_dtype,
    sample,
    worst,
)
from common.exercises.learner import Learner, is_stub, judge, line_of, told
from common.exercises.mistakes import CONSTANT, DIGITS, LEARNT
from common.exercises.tasks import Results, Task
from common.exercises.verdict import Verdict, Wrong

_DTYPE = (
    "wrong dtype: a new tensor takes its dtype from x (x.new_zeros(…), torch.zeros_like(x), "
    "dtype=x.dtype), and so does the result: what .double() was for goes back by .to(x.dtype), not "
    "by .float()."
)


def examine(answer: Any, task: Task, planted: str = "", *, then: Sequence[Task] = ()) -> Verdict:
    """Put the learner's function through all trials.

    planted: words of the hint that stays hidden, because finding that mistake is the exercise.
    then: further tasks for the same function.
    """

    def trials(learner: Learner) -> None:
        for one in (task, *then):
            put_to_trial(learner, one)

    return judge(answer, trials, task.success, task.hint, planted)


def put_to_trial(learner: Learner, task: Task) -> None:
    """All trials of one task; the first that fails raises what is wrong."""
    run = task.prepare(learner)
    for trial in (
        _try_ordinary_input,
        _try_again,
        _try_any_parameters,
        _try_large_mean,
        _try_equal_values,
        _try_float64,
        _try_gradient,
        _try_gradient_at_equal_values,
        _try_device,
        _try_memory_layouts,
        _try_sizes,
    ):
        trial(run, task)
    task.extra(run)


def _got(run: Callable, task: Task, i: Inputs) -> Results:
    value = task.call(run, i)
    if value is None and isinstance(run, Learner) and is_stub(run.answer):
        # The stub's `raise` is gone, and nothing has come in its place.
        raise NotImplementedError
    return as_tensors(value, task.names)


def _try_ordinary_input(run: Callable, task: Task) -> None:
    i = sample(task.layout)
    original = i.copy()
    got = _got(run, task, i)
    changed = [n for n, value in i.tensors.items() if not torch.equal(value, getattr(original, n))]
    in_place = [
        f"{word} is changed in place (-=, /=, .sub_(), out= or an assignment into {word}[…]): make "
        f"a new tensor{', as in y = x − mean' if word == 'x' else ''}."
        for word in map(task.word, changed)
    ]
    if changed and not alike(got, task.expected(original)) and alike(got, task.expected(i)):
        # Right for what it has been changed to.
        raise Wrong(f"Your code changed {task.word(changed[0])}.", in_place[0])
    compare(run, task, original, got, noticed="".join(in_place[:1]))
    for name, yours in zip(task.names, got, strict=True):
        if yours.dtype != i.x.dtype:
            raise Wrong(
                f"For a float32 input the {name} comes back as {name_of_dtype(yours)}.", _DTYPE
            )
    if changed:
        raise Wrong(
            f"The result is right, but your code changed {task.word(changed[0])}.",
            in_place[0],
        )
    for name, value in i.tensors.items():
        name = task.word(name)
        if value.requires_grad:
            raise Wrong(
                f"The result is right, but from now on {name} records gradients.",
                f"{name} is not yours to change: {name}.detach().clone().requires_grad_() is, and "
                "gradients of two calls do not add up in it.",
            )


def _try_again(run: Callable, task: Task) -> None:
    """Another input of the same shape, so that nothing kept from the first call fits."""
    for seed in (7, 8):
        i = sample(task.layout, seed=seed)
        got, right = _got(run, task, i), task.expected(i)
        if not alike(got, right):
            known = (
                digits_lost(got, right) or task.spoilt(i, got, right) or task.otherwise(run, i, got)
            )
            if known:
                name, mine, yours = worst(task.names, got, right)
                raise Wrong(
                    f"For other values the {name} is wrong: {difference(yours, mine)}.", known
                )
            raise Wrong(
                "The first call gives the right result, a later one with other values does not.",
                "something is kept from one call to the next (an attribute, a global variable, a "
                "default argument that is changed): compute everything from the arguments.",
            )


def _try_any_parameters(run: Callable, task: Task) -> None:
    """Gamma and beta of either sign and any size, and among them 0."""
    if "gamma" not in task.arguments:
        return
    i = sample(task.layout)
    gamma = torch.linspace(-4, 60, i.gamma.numel()).reshape(i.gamma.shape)
    gamma[(0,) * (gamma.dim() - 1) + (1,)] = 0.0
    i = replace(i, gamma=gamma, beta=20 * i.beta, grad=20 * i.grad)
    hint = "is something limited on the way (abs, clamp, relu, a square root of gamma²)?"
    compare(
        run, task, i, _got(run, task, i), "For large and negative gamma and beta", otherwise=hint
    )


def _try_large_mean(run: Callable, task: Task) -> None:
    i = sample(task.layout)
    x = (i.x - i.x.mean()) / i.x.std()
    _try_level(run, task, replace(i, x=x + 10_000, eps=1e-5), "10,000", DIGITS)
    apart = next((k for k in range(x.dim()) if k not in task.right_way.axes), None)
    if apart is not None:  # sets far apart: the mean of the whole input helps none of them
        sign = torch.ones(x.shape[apart])
        sign[1::2] = -1
        sign = sign.view(-1, *(1,) * (x.dim() - 1 - apart))
        digits = f"{DIGITS} Each set's own mean, for another's may lie far away."
        _try_level(run, task, replace(i, x=x + 10_000 * sign, eps=1e-5), "±10,000", digits)


def _try_level(run: Callable, task: Task, i: Inputs, level: str, digits: str) -> None:
    right = task.expected(i.to(torch.float64))
    got = _got(run, task, i)
    if not alike(got, right, rtol=3e-2, atol=3e-2):
        name, mine, yours = worst(task.names, got, right)
        digits_help = alike(_got(run, task, i.to(torch.float64)), right, rtol=3e-2, atol=3e-2)
        raise Wrong(
            f"For values around {level} with a spread of 1 the {name} is wrong, although it is "
            f"right for values around 0: {difference(yours, mine)}.",
            digits
            if digits_help
            else "it is not float32 that lacks digits: is x limited on the way, or converted to "
            "float16 (.half()), or is a number written in that fits values around 0 only?",
        )


def _equal_values(layout: str) -> Inputs:
    i = sample(layout)
    return replace(i, x=torch.full_like(i.x, 3.0), eps=1e-5)


def _try_equal_values(run: Callable, task: Task) -> None:
    i = _equal_values(task.layout)
    got, right = _got(run, task, i), task.expected(i)
    if not alike(got, right):
        name, mine, yours = worst(task.names, got, right)
        raise Wrong(
            f"Where all values of x are equal the {name} is wrong: {difference(yours, mine)}.",
            "equal values have a spread of 0, and 0/0 is NaN: divide by nothing but "
            "sqrt(variance + eps), and square (x − mean), not a quotient."
            if yours.isnan().any()
            else "equal values have the variance 0: is something added to it, or is it kept from "
            "getting small (clamp, max)?",
        )


def _try_gradient_at_equal_values(run: Callable, task: Task) -> None:
    i = _equal_values(task.layout).to(torch.float64)
    if not task.differentiable(i):
        return
    got = gradients(lambda leaves: task.call(run, leaves), task, i)
    right = gradients(task.expected, task, i)
    for name, yours, mine in zip(task.differentiable(i), got, right, strict=True):
        if not alike((yours,), (mine,), atol=1e-3):
            symptom = f"its largest value should be {mine.abs().max():.4g}"
            raise Wrong(
                f"Where all values of x are equal the gradient to {name} is wrong: "
                + ("it is NaN." if yours is None or yours.isnan().any() else f"{symptom}."),
                "a square root has an infinite slope at 0. Never take the root of the bare "
                "variance (std ** 2, sqrt(variance) + …): add eps first, under the root.",
            )


def _try_float64(run: Callable, task: Task) -> None:
    # An eps that float32 holds exactly: torch.tensor(eps) does no harm.
    i = replace(sample(task.layout).to(torch.float64), eps=0.125)
    got, right = _got(run, task, i), task.expected(i)
    for name, yours, mine in zip(task.names, got, right, strict=True):
        if yours.dtype != torch.float64:
            raise Wrong(
                f"For a float64 input the {name} comes back as {name_of_dtype(yours)}.", _DTYPE
            )
        if not alike((yours,), (mine,), rtol=1e-10, atol=1e-10):
            off = (yours - mine).detach()
            if float(off.abs().mean()) > 1e-7 and alike(
                (off,), (off.mean().expand_as(off),), 1e-6, 0
            ):
                raise Wrong(
                    f"The {name} is {float(off.mean()):.3g} off everywhere.",
                    f"eps, or another small number, is added to the {name}: it does not belong "
                    "there.",
                )
            raise Wrong(
                f"For a float64 input the {name} is only as precise as float32.",
                "wrong dtype: somewhere on the way the values are converted to float32 (.float(), "
                "torch.zeros(…) or torch.tensor(…) without dtype=x.dtype).",
            )


def _try_device(run: Callable, task: Task) -> None:
    hint = (
        "wrong device: a new tensor must be made where x lives (x.new_zeros(…), "
        "torch.zeros_like(x), device=x.device), and what is returned must not be moved by .cpu()."
    )
    i = elsewhere(sample(task.layout))
    try:
        with PretendedDevice() as device:
            got = _got(run, task, i)
    except Exception as error:
        # PyTorch may lack something for pretended tensors; that is nobody's mistake.
        if "same device" not in str(error) and "another device" not in str(error):
            return
        raise Wrong("Your code fails where x is not on the CPU.", hint, line_of(error)) from None
    for name, value in zip(task.names, got, strict=True):
        # What PyTorch takes apart itself (vmap) forgets where it was.
        if not isinstance(value, Elsewhere) and device.made_here:
            raise Wrong(f"The {name} is on the CPU although x is on another device.", hint)


def gradients(
    compute: Callable[[Inputs], Any], task: Task, i: Inputs
) -> tuple[torch.Tensor | None, ...]:
    """The gradients to the differentiable inputs, for fixed directions of the results."""
    generator = torch.Generator().manual_seed(1)
    leaves = i.leaves()
    wanted = list(task.differentiable(leaves).values())
    results = as_tensors(compute(leaves), task.names)
    # Not centred on 0: the gradient through the mean sums over the direction.
    directions = [torch.randn(r.shape, generator=generator, dtype=r.dtype) + 1 for r in results]
    pairs = [(r, d) for r, d in zip(results, directions, strict=True) if r.requires_grad]
    if not pairs:
        return (None,) * len(wanted)
    outputs, weights = zip(*pairs, strict=True)
    return torch.autograd.grad(outputs, wanted, weights, allow_unused=True)


def _try_gradient(run: Callable, task: Task) -> None:
    i = sample(task.layout).to(torch.float64)
    names = list(task.differentiable(i))
    if not names:
        return
    got = gradients(lambda leaves: task.call(run, leaves), task, i)
    right = gradients(task.expected, task, i)
    lost = [name for name, g in zip(names, got, strict=True) if g is None]
    if lost:
        listed = " and ".join(lost)
        who = "the result passes on" if lost == names else f"{listed} {_get(lost)}"
        hint = CONSTANT if "x" in lost else LEARNT
        raise Wrong(f"The values are right, but no gradient reaches {listed}.", hint.format(who))
    for name, yours, mine in zip(names, got, right, strict=True):
        if not alike((yours,), (mine,), rtol=1e-6, atol=1e-8):
            off = float((yours - mine).norm() / mine.norm())
            raise Wrong(
                f"The values are right, but the gradient to {name} is off by {off:.0%}.",
                _why_gradient(got, task, i),
            )


def _get(names: list[str]) -> str:
    return "get" if len(names) > 1 else "gets"


def _why_gradient(got: tuple[torch.Tensor, ...], task: Task, i: Inputs) -> str:
    """Which part passes for a constant."""
    for constant in (("variance",), ("mean",), ("mean", "variance")):
        way = replace(task.right_way, constant=constant)
        if alike(got, gradients(lambda leaves, way=way: task.by(way, leaves), task, i), rtol=1e-6):
            words = " and ".join(f"the {word}" for word in constant)
            words = words.replace("variance", task.spread)
            return CONSTANT.format(f"{words} {'pass' if constant[1:] else 'passes'} on")
    return CONSTANT.format("a part of the result passes on")


def _try_memory_layouts(run: Callable, task: Task) -> None:
    i = sample(task.layout)
    layouts = {"transposed": i.x.transpose(-2, -1).contiguous().transpose(-2, -1)}
    if i.x.dim() == 4:
        layouts["channels_last"] = i.x.contiguous(memory_format=torch.channels_last)
    for name, x in layouts.items():
        if not alike(_got(run, task, replace(i, x=x)), task.expected(i)):
            raise Wrong(
                f"For the same values in another order in memory ({name}) the result is wrong.",
                "do not rely on how x lies in memory (.stride(), as_strided): use .reshape().",
            )


def _try_sizes(run: Callable, task: Task) -> None:
    of_sizes = (
        "is a size written as a number, or taken from the wrong axis? Or does .squeeze() remove an "
        "axis that happens to have length 1?"
    )
    for shape, groups in LAYOUTS[task.layout].sizes:
        i = replace(sample(task.layout, shape).to(torch.float64), groups=groups)
        where = f"for x of shape {shape}"
        if "groups" in task.arguments:
            where += f" and {groups} group{'s' if groups > 1 else ''}"
        try:
            got = _got(run, task, i)
        except (Wrong, NotImplementedError):
            raise
        except Exception as error:
            # It worked for other sizes.
            raise Wrong(
                f"Your code fails {where} with {told(error)}.", of_sizes, line_of(error)
            ) from None
        if not alike(got, task.expected(i)):
            raise Wrong(f"The result is right for most shapes, but not {where}.", of_sizes)
