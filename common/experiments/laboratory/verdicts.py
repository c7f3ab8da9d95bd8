"""What a study's runs say about each claim, by the rule stated before the runs.

The effect is a difference of means over the seeds, its 95 % interval Welch's. *Holds*: the effect
is above the smallest one that matters. *Does not hold*: it is below. *Not decided by this data*:
else, with the seeds it would take. Where a study makes several comparisons, each must pass at a
level corrected by Holm (1979): the interval printed is that of one comparison alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from common.experiments.laboratory.declare import Cell, Condition, Contrast, label, matches
from common.experiments.laboratory.kept import Kept

HOLDS, DOES_NOT_HOLD = "holds", "does not hold"
NOT_DECIDED, NOT_RUN = "not decided by this data", "not run yet"
MOST_SEEDS = 1000


class Verdict(NamedTuple):
    """One comparison: the effect, its interval (NaN with one seed), seeds on each side, the word.

    ``needed`` is the number of seeds a side that would decide it, where it is not decided.
    """

    contrast: Contrast
    effect: float
    low: float
    high: float
    seeds: tuple[int, ...]
    word: str
    needed: int | None = None

    @property
    def interval(self) -> str:
        """``+1.20 [0.80, 1.60] points``, with true minus signs."""
        if math.isnan(self.effect):
            return "–"
        between = "" if math.isnan(self.low) else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.effect:+.2f}{between} {self.contrast.unit}".strip().replace("-", "−")

    @property
    def sentence(self) -> str:
        """The word, with the seeds that it would take where it is not decided."""
        if self.needed is None:
            return self.word
        some = f"more than {MOST_SEEDS:,}" if self.needed > MOST_SEEDS else f"about {self.needed}"
        return f"{self.word}, would take {some} seeds"


def judge(kept: Kept) -> list[Verdict]:
    """A verdict for each contrast that the study declares."""
    samples = [_samples(kept, contrast) for contrast in kept.study.contrasts]
    tests = [
        _test(s, c.smallest) if s and min(map(len, s)) > 1 else None
        for s, c in zip(samples, kept.study.contrasts, strict=True)
    ]
    passed = holm([math.nan if test is None else test[2] for test in tests])
    verdicts = []
    for contrast, sides, test, decided in zip(
        kept.study.contrasts, samples, tests, passed, strict=True
    ):
        if not sides:
            verdicts.append(Verdict(contrast, math.nan, math.nan, math.nan, (), NOT_RUN))
            continue
        effect = fmean(sides[0]) - (fmean(sides[1]) if len(sides) > 1 else 0)
        low, high = test[:2] if test else (math.nan, math.nan)
        word, needed = NOT_DECIDED, None
        if decided:
            word = HOLDS if effect > contrast.smallest else DOES_NOT_HOLD
        elif test:
            needed = _seeds_needed(sides, abs(effect - contrast.smallest), len(samples))
        verdicts.append(Verdict(contrast, effect, low, high, tuple(map(len, sides)), word, needed))
    return verdicts


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of several comparisons pass at ``level`` for all of them together (Holm, 1979).

    One that is not a number does not pass and counts all the same: it was announced.
    """
    order = sorted(
        range(len(p_values)), key=lambda i: math.inf if math.isnan(p_values[i]) else p_values[i]
    )
    passed = [False] * len(p_values)
    for rank, i in enumerate(order):
        if not p_values[i] <= level / (len(p_values) - rank):
            break
        passed[i] = True
    return passed


def _test(sides: Sequence[Sequence[float]], smallest: float) -> tuple[float, float, float]:
    """Lower and upper end of the effect's 95 % interval, and p of the effect being ``smallest``."""
    from scipy import stats

    effect = fmean(sides[0]) - (fmean(sides[1]) if len(sides) > 1 else 0)
    variances = [stdev(side) ** 2 / len(side) for side in sides]
    error = math.sqrt(sum(variances))
    if error == 0:
        return effect, effect, 1.0 if effect == smallest else 0.0
    # Welch and Satterthwaite's degrees of freedom; with one side Student's.
    freedom = sum(variances) ** 2 / sum(
        v**2 / (len(side) - 1) for v, side in zip(variances, sides, strict=True)
    )
    half = stats.t.ppf(0.975, freedom) * error
    p = 2 * stats.t.sf(abs(effect - smallest) / error, freedom)
    return effect - half, effect + half, float(p)


def _seeds_needed(sides: Sequence[Sequence[float]], distance: float, comparisons: int) -> int:
    """Seeds a side with which an effect so far from the smallest one would be told from it.

    At Holm's first and hardest step, if means and deviations stayed as they are.
    """
    from scipy import stats

    variances = [stdev(side) ** 2 for side in sides]
    error = math.sqrt(sum(variances))
    if error == 0:  # the effect is the smallest one itself
        return MOST_SEEDS + 1
    share = sum(variances) ** 2 / sum(v**2 for v in variances)  # Welch and Satterthwaite's
    for n in range(min(map(len, sides)) + 1, MOST_SEEDS + 1):  # so many did not decide it
        quantile = stats.t.ppf(1 - 0.025 / comparisons, share * (n - 1))
        if quantile * error / math.sqrt(n) < distance:
            return n
    return MOST_SEEDS + 1


def _samples(kept: Kept, contrast: Contrast) -> list[list[float]]:
    """A number a seed for each side; nothing if a side has none."""
    cells = [cell for cell in (contrast.first, contrast.second) if cell is not None]
    sides = [list(per_seed(kept, cell).values()) for cell in cells]
    return sides if all(sides) else []


def per_seed(kept: Kept, cell: Cell) -> dict[int, float]:
    """A cell's number for each seed that has run all conditions it covers."""
    here = _reduced(kept, cell, cell.where)
    if cell.minus is None:
        return here
    there = _reduced(kept, cell, {**cell.where, **cell.minus})
    return {seed: here[seed] - there[seed] for seed in here.keys() & there.keys()}


def _reduced(kept: Kept, cell: Cell, where: Condition) -> dict[int, float]:
    wanted = [c for c in kept.study.conditions if matches(c, where)]
    table = {(line.condition, line.seed): line.values for line in kept.lines}
    seeds = [
        seed
        for seed in sorted({line.seed for line in kept.lines})
        if wanted and all((label(c), seed) in table for c in wanted)
    ]
    shown = (wanted if cell.every else chosen(kept, where)) if seeds else []
    return {
        seed: cell.reduce([(c, table[label(c), seed][cell.value]) for c in shown]) for seed in seeds
    }


def chosen(kept: Kept, where: Condition) -> list[Condition]:
    """The conditions asked for; of those that differ in the tuned quantity alone, the best.

    The best by the mean accuracy on held-out training images, over the seeds there are. All of
    them where ``where`` fixes that quantity, or nothing is tuned.
    """
    tuned = kept.study.tuned
    asked = [c for c in kept.study.conditions if matches(c, where)]
    if not tuned or tuned in where:
        return asked
    held_out: dict[str, list[float]] = {}
    for line in kept.lines:
        held_out.setdefault(line.condition, []).append(line.values["validation"])
    groups: dict[str, list[Condition]] = {}
    for condition in asked:
        if label(condition) in held_out:
            rest = label({k: v for k, v in condition.items() if k != tuned})
            groups.setdefault(rest, []).append(condition)
    return [max(group, key=lambda c: fmean(held_out[label(c)])) for group in groups.values()]
