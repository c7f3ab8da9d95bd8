"""The runs of the course's own comparison, and where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from common import settings
from common.data import folder_name
from common.experiments.runs import Run
from common.settings import RUNS, quick
from common.training import course_recipe, race_recipe


def comparison_runs(
    network: str,
    norms: Sequence[str],
    seeds: Sequence[int],
    data: str,
    *,
    race: bool = False,
    **changes: float | None,
) -> list[Run]:
    """One network with each norm and seed, seed by seed, with the course's recipe.

    ``race``: with the recipe of the race to 70 % instead, and brief evaluations. ``changes`` are
    those of ``course_recipe``; it raises ``ValueError`` for an unknown norm.
    """
    runs = []
    for seed, norm in product(seeds, norms):
        recipe = course_recipe(norm, seed, **changes)
        run = Run(network, norm, recipe, data=data)
        if race:
            run = replace(run, recipe=race_recipe(seed, **changes), label="race", brief=True)
        runs.append(run)
    return runs


def race_jobs(device: str | None = None) -> int:
    """How many runs of a race go side by side: one more than there are cores, a thread each.

    Three on two cores leave none idle while the third waits its turn. A GPU, or a single core,
    takes one after the other.
    """
    cores = settings.threads() if settings.pick_device(device).type == "cpu" else 1
    return 1 if cores == 1 else cores + 1


def accuracy_runs(
    norms: Sequence[str], seeds: Sequence[int], data: str, *, tuned: bool = False
) -> list[Run]:
    """The course's network as the lessons show it; ``tuned``: each norm at its own best rate.

    A norm whose own best rate is the shared one has its runs already, and they get no label.
    """
    runs = []
    for seed, norm in product(seeds, norms):
        recipe = course_recipe(norm, seed, tuned=tuned)
        label = "tuned" if recipe != course_recipe(norm, seed) else ""
        runs.append(Run("course", norm, recipe, data=data, label=label))
    return runs


def own_folder(command: str, data: str | Path) -> Path:
    """Where the reader's runs of a command go: a folder for each data set, so that none mix."""
    name = folder_name(data)
    if quick():  # where every name stands for the same built-in images
        name = "quick" if name in ("cifar10", "shapes") else f"quick-{name}"
    return RUNS / command / name
