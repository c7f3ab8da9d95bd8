"""What is wrong with a result: how far it is off, and the mistake that it looks like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from common.exercises.inputs import Inputs, alike, as_tensors, difference, worst
from common.exercises.search import explain
from common.exercises.tasks import Results, Task
from common.exercises.traces import CHANGES, wrong_places
from common.exercises.verdict import Wrong


def compare(
    run: Callable,
    task: Task,
    i: Inputs,
    got: Results,
    where: str = "",
    noticed: str = "",
    otherwise: str = "",
) -> None:
    """Raise Wrong, with the mistake's name if it is known, unless `got` is right.

    where: what is special about this input. noticed: another mistake, which may be the reason.
    otherwise: the hint where nothing else is recognised.
    """
    right = task.expected(i)
    if alike(got, right):
        return
    hint = (
        task.special(i, got)
        or task.spoilt(i, got, right)
        or _explain(run, task, i, got, right)
        or _explain_turned(task, i, got)
        or _changes(run, task, i, got)
        or noticed
        or task.otherwise(run, i, got)
        or _of_changed_x(task, i, got, right)
        or next(filter(None, map(wrong_places, got, right)), "")
        or _not_a_number(got)
        or otherwise
        or digits_lost(got, right)
    )
    for name, yours, mine in zip(task.names, got, right, strict=True):
        if yours.shape != mine.shape:
            raise Wrong(
                f"For x of shape {tuple(i.x.shape)} the {name} has the shape "
                f"{tuple(yours.shape)}, not {tuple(mine.shape)}.",
                hint
                or task.selected(i, got, right)
                or task.shape_hint(got, right)
                or f"check the axes: S runs over {task.sets}.",
            )
    name, mine, yours = worst(task.names, got, right)
    where = f"{where} the {name}" if where else f"The {name}"
    raise Wrong(
        f"{where} is wrong: {difference(yours, mine)}.",
        hint or "go through the formula step by step and print each step's shape.",
    )


def _explain(run: Callable, task: Task, i: Inputs, got: Results, right: Results) -> str:
    # Ways with one result give it in x's shape.
    if len(got) == 1 and got[0].shape != right[0].shape:
        return ""
    seen = [(i, got), *_second_look(run, task, i)]
    wrong = [not alike((a,), (b,)) for a, b in zip(got, right, strict=True)].index(True)
    # One mistake in all results explains more than one in the first that is wrong.
    for part in (slice(None), slice(wrong, wrong + 1)):
        hint = explain(
            task,
            i,
            got,
            lambda way, part=part: all(
                alike(result[part], task.by(way, inputs)[part], equal_nan=True)
                for inputs, result in seen
            ),
            part,
        )
        if hint or len(got) == 1:
            return hint
    return ""


def _explain_turned(task: Task, i: Inputs, got: Results) -> str:
    """The hint for a result whose shape, and perhaps something else as well, is wrong."""
    for turned, how in task.turned(i, got):
        if alike(turned, task.expected(i)):
            return f"the values are right. But {how}"
    for turned, how in task.turned(i, got):
        hint = explain(task, i, turned, lambda way, turned=turned: alike(turned, task.by(way, i)))
        if hint:
            return f"two things at once: {how} And {hint}"
    return ""


def _changes(run: Callable, task: Task, i: Inputs, got: Results) -> str:
    """The hint if the same input gives another result the next time; else ""."""
    if alike(as_tensors(task.call(run, i.copy()), task.names), got, equal_nan=True):
        return ""
    return (
        "the same input gives another result in each call: something is random, or is kept from "
        "one call to the next."
    )


def _of_changed_x(task: Task, i: Inputs, got: Results, right: Results) -> str:
    """The hint for a right result of an x that a function was applied to; else ""."""
    for function in CHANGES:
        others = task.expected(replace(i, x=function(i.x)))
        for yours, mine, other in zip(got, right, others, strict=True):
            if not alike((yours,), (mine,)) and alike((yours,), (other,)):
                return f"x goes through {function.__name__} first: take x as it is."
    return ""


def digits_lost(got: Results, right: Results) -> str:
    """The hint for a result that is right to about three digits; else ""."""
    # Half precision's relative rounding is 1e-3 at most; an unbiased variance differs by more.
    if not alike(got, right, rtol=3e-3, atol=3e-3):
        return ""
    return (
        "right to two or three digits: are values rounded on the way, or converted to float16 or "
        "bfloat16 (.half(), .bfloat16())?"
    )


def _not_a_number(got: Results) -> str:
    if not any(result.isnan().any() for result in got):
        return ""
    return (
        "NaN is the root of a negative number, or 0/0. A variance is never negative: is it one "
        "that stands under the root?"
    )


def _second_look(run: Callable, task: Task, i: Inputs) -> list[tuple[Inputs, Results]]:
    """What the function makes of a small spread, which tells a missing eps from a fixed one.

    And of one far below eps, which tells it from a lower limit.
    """
    looks = [replace(i, x=i.x / 100, eps=1e-4), replace(i, x=i.x / 1000)]
    try:
        return [(look, as_tensors(task.call(run, look.copy()), task.names)) for look in looks]
    except Exception:
        # It worked once; the first look must do.
        return []
