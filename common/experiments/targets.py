"""How soon a target is reached: by the course, and by what a user would pick instead of it.

In which epoch a run passes a target, the runs that come with the course tell (the median over their
seeds); what such an epoch costs is measured here, all ways in turn, on whatever machine this is.
The product is the training time to the target. Tests on the way, which both would need, are left
out. The rival is the best network of the field, trained with its source's recipe from a plain
``DataLoader``, which cuts and changes image by image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from common import settings
from common.experiments.benchmark import WARM_UP, Plan, Trainer, about, in_turn
from common.experiments.field import SKIP
from common.experiments.runs import refuse_other_images
from common.experiments.shipped import course_histories, field_histories
from common.training import RACE, SHARED, TARGET, History, Recipe

if TYPE_CHECKING:
    from common.data import ImageData

RIVAL = "skip-48k"
# The course's own target, and about what the rival reaches with its source's recipe.
TARGETS = (TARGET, 78.35)


def measure(plan: Plan, norm: str, data: ImageData) -> dict[str, Any]:
    """What an epoch costs, in seconds a round, and which epoch passes each of ``TARGETS``.

    ``cost`` has ``race`` (all of it: its epochs have different sizes), ``course``, and ``source, n
    workers``; ``epochs`` has ``course`` and ``source``, by target as text, None where not every
    seed got there.
    """
    device = settings.pick_device(plan.device)
    ways: dict[str, Callable[[], float]] = {}

    def add(name: str, trainer: Trainer, speed: Callable[[], float]) -> None:
        count = len(trainer.batches) * trainer.recipe.batch_size
        ways[name] = lambda: count / speed()

    def add_own(name: str, recipe: Recipe, size: int | None = None) -> None:
        trainer = Trainer("course", norm, data, device, recipe=recipe)
        batches = trainer.own(size)
        trainer.speed(batches, WARM_UP)
        add(name, trainer, partial(trainer.speed, batches, plan.batches))

    sizes = [RACE.size(epoch) for epoch in range(1, RACE.epochs + 1)]
    for place, size in enumerate(sizes):
        add_own(f"race {place}", RACE, size)
    add_own("course", SHARED)
    rival = Trainer(RIVAL, norm, data, device, recipe=SKIP.recipe)
    rival.speed(rival.fixed(), WARM_UP)
    for workers in plan.workers:
        way = partial(rival.loaded_speed, workers, plan.batches)
        add(f"source, {workers} workers", rival, way)
    cost = in_turn(ways, plan.rounds)
    parts = [cost.pop(f"race {place}") for place in range(len(sizes))]
    shipped = {"course": course_histories(norm), "source": field_histories(RIVAL, "source")}
    mine = {name: [run for run in runs if run.norm == norm] for name, runs in shipped.items()}
    return {
        "cost": {"race": [sum(round_) for round_ in zip(*parts, strict=True)], **cost},
        "epochs": {
            name: {f"{target:g}": epochs_to(runs, target) for target in TARGETS}
            for name, runs in mine.items()
        },
    }


def epochs_to(runs: Sequence[History], target: float) -> float | None:
    """The first epoch past a test accuracy in %, in the median; None if a run never gets there."""
    first = [run.first_epoch_at(target) for run in runs]
    return median(first) if first and None not in first else None


def seconds_to(measured: dict[str, Any], way: str, target: float) -> float | None:
    """Training time to a target with ``race``, ``course`` or ``source`` (its best ``DataLoader``).

    The race is timed to its end, and gets to its own target only.
    """
    if way == "race":
        return median(measured["cost"]["race"]) if target <= TARGET else None
    cost, epochs = epoch_cost(measured, way), measured["epochs"][way][f"{target:g}"]
    return None if epochs is None or cost is None else epochs * cost


def epoch_cost(measured: dict[str, Any], way: str) -> float | None:
    """Seconds of an epoch with ``course`` or ``source`` (its best ``DataLoader``), if measured."""
    costs = [median(v) for name, v in measured["cost"].items() if name.partition(",")[0] == way]
    return min(costs, default=None)


def run(norms: Sequence[str], plan: Plan) -> dict[str, Any]:
    """``measure`` for every norm, ready to be saved as JSON.

    Raises ``ValueError`` for a norm, data set or device there is not, and for other images than
    CIFAR-10, on which the shipped runs say nothing.
    """
    from common.data import load_images

    data = load_images(plan.data)
    refuse_other_images("How soon a target is reached", data)
    plan = plan.fitting(settings.physical_cores())
    settings.tune_process()
    return {
        **about(plan, data, SHARED),
        "targets": {norm: measure(plan, norm, data) for norm in norms},
    }
