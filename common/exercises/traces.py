"""What was done to right values: moved, rounded, cut off, scaled, repeated, left out."""

from __future__ import annotations

import itertools

import torch

from common.exercises.inputs import alike
from common.exercises.mistakes import MISPLACED
from common.exercises.ways import listed

CHANGES = (torch.relu, torch.abs, torch.tanh, torch.sigmoid)


def done_to(yours: torch.Tensor, mine: torch.Tensor, what: str = "the result") -> str:
    """The hint that says what was done to the right values; else ""."""
    if yours.shape != mine.shape or alike((yours,), (mine,)):
        return ""
    if rearranged(yours, mine):
        for order in itertools.permutations(range(mine.dim())):
            if alike((mine.permute(order).reshape(mine.shape),), (yours,)):
                return MISPLACED
    rounded = [mine.trunc(), *(mine.round(decimals=k) for k in (0, 1, 2, 3))]
    if any(alike((one,), (yours,)) for one in rounded):
        return f"{what} is rounded: keep all its digits."
    for function in CHANGES:
        if alike((function(mine),), (yours,)):
            return f"{what} goes through {function.__name__}: leave it as it is."
    if not yours.isfinite().all():
        return ""
    limits = yours.min(), yours.max()
    if limits[1] - limits[0] > 1e-3 and alike((mine.clamp(*limits),), (yours,)):
        return f"{what} is clamped: it may be as large as it comes out."
    filled = yours != 0
    if filled.any() and not filled.all() and alike((mine * filled,), (yours,)):
        return (
            "a part of the result is right and the rest is 0: is it made anew in each round of a "
            "loop, or does the loop end too early?"
        )
    return ""


def rearranged(yours: torch.Tensor, mine: torch.Tensor) -> bool:
    """Whether the values are the right ones, in whatever order."""
    if yours.numel() != mine.numel():
        return False
    return alike((yours.flatten().sort()[0],), (mine.flatten().sort()[0],), atol=1e-3)


def made_of(yours: torch.Tensor, mine: torch.Tensor, what: str) -> str:
    """The hint for a statistic with another sign, a logarithm or a factor; else ""."""
    if yours.shape != mine.shape:
        return ""
    if alike((yours,), (-mine,)):
        return f"the sign of {what} is wrong."
    if rearranged(yours, mine):
        return f"the right values of {what}, in another order: keep that of the sets."
    for name, function in (("logarithm", torch.log), ("square", torch.square)):
        if alike((yours,), (function(mine),)):
            return f"that is the {name} of {what}."
    return factor(yours, mine, what)


def factor(yours: torch.Tensor, mine: torch.Tensor, what: str, rtol: float = 1e-3) -> str:
    """The hint for values that are right but for one factor; else ""."""
    factor = float((yours * mine).sum() / mine.square().sum())
    if factor <= 0 or not alike((factor * mine,), (yours,), rtol):
        return ""
    return (
        f"{what} is {factor:.4g} times what it should be, everywhere: is a factor or a divisor too "
        "many, or missing?"
    )


def selected(yours: torch.Tensor, mine: torch.Tensor) -> str:
    """The hint for a part of the right values, or for more than there should be; else ""."""
    for axis, length in enumerate(mine.shape):
        rows = yours.unsqueeze(axis) if yours.dim() == mine.dim() - 1 else yours
        if rows.dim() != mine.dim() or not rows.shape[axis] or not length:
            continue
        many = rows.shape[axis]
        for start in range(length - many + 1):
            if many < length and alike((rows,), (mine.narrow(axis, start, many),)):
                return (
                    f"of the {length} along axis {axis} only {many} come{'s' * (many == 1)} "
                    "back: does a loop return in its first round, keep its last one alone, or "
                    "count to a number of your own?"
                )
        if many > length and many % length == 0:
            times = many // length
            if any(
                alike((rows,), (more,))
                for more in (
                    mine.repeat_interleave(times, axis),
                    torch.cat([mine] * times, axis),
                )
            ):
                return f"each value comes {times} times along axis {axis}: once is asked for."
        summed = "summed (@ and matmul do that, too)"
        for what, reduced in (("averaged", mine.mean(axis)), (summed, mine.sum(axis))):
            if alike((yours,), (reduced,)):
                return f"the right values, {what} over axis {axis}: leave that out."
    return ""


def wrong_places(yours: torch.Tensor, mine: torch.Tensor) -> str:
    """The hint for a result that is wrong at some places of an axis alone; else ""."""
    if yours.shape != mine.shape or alike((yours,), (mine,)):
        return ""
    off = ~torch.isclose(yours.detach().double(), mine.double(), 1e-3, 1e-4)
    for axis in range(mine.dim()):
        share = off.movedim(axis, 0).reshape(off.shape[axis], -1).double().mean(1)
        wrong, is_right = share > 0.5, share == 0
        if wrong.any() and is_right.any() and bool((wrong | is_right).all()):
            places = wrong.nonzero()[:, 0].tolist()
            # A loop or a slice steps evenly; elsewhere single places are right by chance.
            if len({b - a for a, b in itertools.pairwise(places)}) > 1:
                return ""
            at = listed([str(k) for k in places])
            return (
                f"wrong at {at} along axis {axis}, and right everywhere else: "
                "does a loop or a slice leave these out, or do they get what belongs to others?"
            )
    return ""
