"""Runs studies: what is missing, side by side, on this machine or on a Dask cluster.

Each run is one task, for joblib or for Dask: a study, a condition and a seed; what comes back is a
line of the result file, written by the process that was asked. A task looks for the images itself,
so that a worker on another machine needs this package and the data set, and nothing is sent around.

On a cluster (``pip install distributed`` on each machine, the course's folder and its data in the
same place): ``dask scheduler`` on one; in the course's folder of every other ``dask worker
tcp://SCHEDULER:8786 --nworkers auto --nthreads 1``; then, where the results are to be kept,
``python -m common study --all --dask tcp://SCHEDULER:8786``.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import settings
from common.data import folder_name, load_images
from common.experiments.course import own_folder
from common.experiments.laboratory.declare import Condition, Study, label
from common.experiments.laboratory.kept import (
    Images,
    Kept,
    Line,
    check_images,
    compact,
    keep,
    load,
)
from common.experiments.runs import refuse_other_images, refuse_stand_in
from common.experiments.workers import end_with, none_killed
from common.files import check_folder
from common.training import Acceleration

if TYPE_CHECKING:
    from common.data import ImageData

RESULTS = settings.ROOT / "common" / "results" / "studies"


def folder_of(data: str | Path, out: Path | None = None) -> Path:
    """Where the results of studies on these images go: the course's own only for full CIFAR-10."""
    if out is not None:
        return out
    own = settings.quick() or folder_name(data) != "cifar10"
    return own_folder("study", data) if own else RESULTS


def here(study: Study) -> Study:
    """The study as it is run in this process: shortened in quick mode."""
    return study.shortened() if settings.quick() else study


def kept(study: Study, folder: Path) -> Kept:
    """The runs of a study that a folder holds."""
    return load(here(study), folder / f"{study.name}.jsonl")


def run_studies(
    studies: Sequence[Study],
    folder: Path,
    *,
    data: str = "cifar10",
    seeds: Sequence[int] = (),
    jobs: int | None = None,
    device: str | None = None,
    dask: str | None = None,
    say: Callable[[str], None] = print,
) -> list[Kept]:
    """Perform the runs of these studies that ``folder`` does not hold yet; all that it holds then.

    A run that is cut off is lost and no other; the files do not depend on how often that happened.

    Args:
        data: the images, as ``load_images`` takes them.
        seeds: instead of those that the studies declare.
        jobs: runs at a time, one thread each (default: the cores; on a GPU 1).
        dask: the address of a Dask scheduler whose workers take the runs.
        say: gets a line for each run that is done, with the time left.

    Raises:
        ValueError: results of another setting or on other images; a stand-in for CIFAR-10 in the
            course's own folder; other images than CIFAR-10, or seeds, for a study of what comes
            with the course; a seed below 0 or from 2⁶³ up; ``jobs`` below 1; ``dask`` without
            Dask installed.
        OSError: a scheduler that does not answer; a folder that cannot be written to; a process
            that was ended from outside.
    """
    settings.check_count("jobs", jobs)
    if wrong := [seed for seed in seeds if not (isinstance(seed, int) and 0 <= seed < 2**63)]:
        raise ValueError(f"seed is {wrong[0]}; it must be a whole number from 0 to below 2⁶³.")
    # Each study and seed once, however often it was named.
    own = {study.name: here(study) for study in studies}.values()
    call = time.time_ns()
    images = _images(data, call)
    for study in own:
        if uses_shipped(study):
            _check_shipped(study, images, seeds)
    studies = [replace(study, seeds=tuple(dict.fromkeys(seeds or study.seeds))) for study in own]
    if folder == RESULTS:
        refuse_stand_in(images)
    described = describe(images)
    paths = {study.name: folder / f"{study.name}.jsonl" for study in studies}
    results = {study.name: load(study, paths[study.name]) for study in studies}
    for study in studies:
        check_images(results[study.name], paths[study.name], described)
    missing = [
        (study, condition, seed)
        for study in studies
        for condition, seed in study.runs()
        if (label(condition), seed) not in results[study.name].done()
    ]
    if missing:
        check_folder(folder)
    on_cpu = settings.pick_device(device).type == "cpu"
    jobs = max(1, min(jobs or (settings.threads() if on_cpu else 1), len(missing)))
    clock = _Clock(missing, jobs)
    where = _where(data, device, call)
    for study, line, images_there, version in _performed(missing, jobs, dask, where):
        if images_there != described:
            raise ValueError(f"A worker has other images: {images_there}; here: {described}.")
        results[study.name] = keep(study, paths[study.name], line, described, version)
        say(clock.done(study, line))
    return list(results.values())


def again(
    study: Study, folder: Path, condition: str, seed: int, *, data: str, device: str | None = None
) -> tuple[Line, Line]:
    """One run as the folder has it, and done once more.

    Raises ``ValueError`` for a condition that the study does not have, or a run not there yet.
    """
    result = kept(study, folder)
    wanted = result.study.condition(condition)
    old = result.find(condition, seed)
    if old is None:
        raise ValueError(
            f"{folder} holds no run {condition} with seed {seed} of {study.name!r}; run the study."
        )
    where = _where(data, device, time.time_ns())
    _, new, images, _ = _task(result.study, wanted, seed, **where)
    check_images(result, folder / f"{study.name}.jsonl", images)
    return old, new


def describe(images: ImageData) -> Images:
    """What a data set is told apart by."""
    size = images.train.images.shape[-1]
    numbers = f"{len(images.train):,} + {len(images.test):,} images of {size}×{size}"
    return Images(f"{images.title}, {numbers}", images.fingerprint)


def uses_shipped(study: Study) -> bool:
    """Whether a study, as it is run here, looks at runs or weights that come with the course."""
    return any(map(study.shipped, here(study).conditions))


def can_run_on(study: Study, data: str | Path) -> bool:
    """Whether a study can be run on images of this name: some look at what came of CIFAR-10's.

    Raises ``ValueError`` as ``load_images`` does.
    """
    known = ("cifar10", "shapes") if settings.quick() else ("cifar10",)
    return folder_name(data) in known or not uses_shipped(study)


def _check_shipped(study: Study, images: ImageData, seeds: Sequence[int]) -> None:
    """Raise ``ValueError`` for images or seeds that have no shipped runs."""
    refuse_other_images(f"The study {study.name!r}", images)
    if wrong := sorted({*seeds} - {*study.seeds}):
        raise ValueError(
            f"The study {study.name!r} looks at what comes with the course: "
            f"{', '.join(map(str, study.seeds))} are all the seeds it has, and not {wrong[0]}."
        )


def _where(data: str, device: str | None, call: int) -> dict[str, Any]:
    """What all runs of a call share; ``call`` is a number that no other call has."""
    return {
        "data": data,
        "quick": settings.quick(),
        "device": device,
        "parent": os.getpid(),
        "call": call,
    }


@lru_cache(maxsize=1)
def _images(data: str, call: int) -> ImageData:
    # The images may have changed since another call: this is an argument for the cache alone.
    return load_images(data)


def _task(
    study: Study,
    condition: Condition,
    seed: int,
    *,
    data: str,
    quick: bool,
    device: str | None,
    parent: int,
    call: int,
) -> tuple[Study, Line, Images, str]:
    """One run, in whatever process it has come to; one that ``parent`` began ends with it."""
    end_with(parent)
    # A cluster's worker was started without it; here it says what is so already.
    os.environ["NORMS_QUICK"] = "1" if quick else "0"
    settings.tune_process(1 if settings.pick_device(device).type == "cpu" else None)
    images = _images(data, call)
    started = time.perf_counter()
    values = compact(study.measure(condition, seed, images, settings.pick_device(device)))
    line = Line(label(condition), seed, values, round(time.perf_counter() - started, 1))
    return study, line, describe(images), _version(device)


def _version(device: str | None) -> str:
    import torch

    name = settings.device_name(settings.pick_device(device))
    faster = f", {wanted} where that works" if (wanted := str(Acceleration.chosen())) else ""
    return f"Python {platform.python_version()}, PyTorch {torch.__version__}, {name}{faster}"


def _performed(
    missing: Sequence[tuple[Study, Condition, int]],
    jobs: int,
    dask: str | None,
    where: dict[str, Any],
) -> Iterator[tuple[Study, Line, Images, str]]:
    """The runs as they end: from processes here, or from the workers of a Dask cluster."""
    if dask is None:
        import joblib

        parallel = joblib.Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")
        with none_killed("with the runs that are missing"):
            yield from parallel(joblib.delayed(_task)(*run, **where) for run in missing)
        return
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ValueError(
            "--dask needs Dask, which the course does not install: pip install distributed"
        ) from error
    # Dask's own client: it sees to it that what a lost worker had is done by another.
    with Client(dask, timeout="30s") as client:
        tasks = [client.submit(_task, *run, **where, pure=False) for run in missing]
        for task in as_completed(tasks):
            yield task.result()


class _Clock:
    """Says how far the runs are and how long the rest will take, from the seconds so far."""

    def __init__(self, missing: Sequence[tuple[Study, Condition, int]], jobs: int) -> None:
        self.cost = {(s.name, label(c), seed): s.seconds(c) for s, c, seed in missing}
        self.total, self.jobs = len(self.cost), jobs
        self.expected = self.spent = 0.0

    def done(self, study: Study, line: Line) -> str:
        self.expected += self.cost.pop((study.name, line.condition, line.seed))
        self.spent += line.seconds
        # Declared costs are rough; what the runs so far took against theirs corrects them.
        left = sum(self.cost.values()) * self.spent / max(self.expected, 1e-9) / self.jobs
        numbers = (f"{k} {v:g}" for k, v in line.values.items() if isinstance(v, int | float))
        return (
            f"{study.name}  {self.total - len(self.cost)}/{self.total}  {line.condition} "
            f"seed {line.seed}: {', '.join(list(numbers)[:3])}; {line.seconds:.0f} s, "
            f"{_minutes(left)} left for all"
        )


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
