"""Many runs side by side, each kept in a file of its own, so that nothing is trained twice.

Several one-thread processes train more images a second than one process with several threads, so
a study fills the cores with runs. It is built on joblib: where a cluster is at hand, its backend
takes the same runs with one line around the call (Dask here; Ray alike)::

    with joblib.parallel_config(backend="dask"):
        run_all(runs, folder)

Every worker then needs this package and the same folder, for instance on a shared disk.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from common import settings
from common.data import first_images, hold_out, is_cifar10
from common.experiments.weights import has_weights, load_weights, save_weights
from common.experiments.workers import alone, end_with, none_killed
from common.files import check_folder, check_target, discard, remove_left_over
from common.training import Diverged, History, Overview, Recipe, fit, seeded_model

if TYPE_CHECKING:
    from torch import nn

    from common.data import ImageData


BOARD = "board"  # where runs side by side say how far they are


@dataclass(frozen=True)
class Run:
    """One training run of a study.

    Attributes:
        network, norm, recipe: what is trained and how.
        data: the data set, as ``load_images`` takes it.
        validation: whether 5,000 of the training images are held out and stand in for the test
            images, as they must while anything is still being chosen.
        label: what tells runs of one network, norm and seed apart (part of the file's name).
        train_images: how many of the training images to train on, None for all of them.
        jpeg: the quality at which the images are stored as JPEG before, None for as they are.
        brief: whether to save time with the evaluations (see ``fit``).
        builder: what makes a network that ``common.networks`` does not know; called like the
            builders there, with ``norm``, ``classes`` and ``image_size``.
        file: the name of the run's files, without their endings; made of the above if empty.
    """

    network: str
    norm: str
    recipe: Recipe
    data: str = "cifar10"
    validation: bool = False
    label: str = ""
    train_images: int | None = None
    jpeg: int | None = None
    brief: bool = False
    builder: Callable[..., nn.Module] | None = None
    file: str = ""

    @property
    def name(self) -> str:
        """The name of the run's files, without their endings."""
        if self.file:
            return self.file
        parts = [self.network, self.norm, self.label, f"seed{self.recipe.seed}"]
        return "-".join(part for part in parts if part)


def run_all(
    runs: Sequence[Run],
    folder: str | Path | Callable[[Run], Path],
    *,
    jobs: int | None = None,
    together: int = 1,
    device: str | None = None,
    weights: bool | Callable[[Run], bool] = False,
    shipped: bool = False,
) -> list[History]:
    """Perform the runs that ``folder`` does not hold yet; return the histories of all, in order.

    Each finished run is ``<name>.json`` (with ``weights``, also ``<name>.safetensors``; a run that
    lacks only these is trained again, unless it is ``shipped``). A run cut off goes on from its
    last epoch the next time; one that diverged is kept with the reason.

    Args:
        folder: where the files go: one folder, or a function that names each run's own.
        jobs: runs at a time (default: one a core on a CPU, one on a GPU). The cores are shared.
        together: how many runs that differ in their seed alone are trained as one, above 0: for a
            GPU, see ``common.training.together``. What is cut off goes on only in the same company.
        weights: whether to keep them: for all runs, or a function that says it for each.
        shipped: whether the folders hold the course's own results. Runs that are there are then
            taken as they are, without a look at the images or for weights; new ones must be on
            the same images, and on no stand-in.

    Raises:
        ValueError: two runs of one name; a file of that name that holds a different run, one of a
            network that has changed since, or one of another seed on other images; a stand-in
            where none will do; ``together`` or ``jobs`` below 1.
        OSError: a folder that cannot be written to.
    """
    import joblib

    from common.data import compress, load_images

    settings.check_count("jobs", jobs)
    folder_of = folder if callable(folder) else lambda _: Path(folder)
    wanted = weights if callable(weights) else lambda _: bool(weights)
    names = [run.name for run in runs]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"{', '.join(doubled)} is asked for twice; name each network, norm and seed once (runs "
            "that differ in something else need labels)."
        )
    missing = [run for run in runs if not is_done(run, folder_of(run), wanted(run) and not shipped)]
    groups = _groups(missing, together, folder_of)
    for target in {folder_of(run) for run in missing}:
        check_folder(target)
    for target in {folder_of(run) for run in runs}:
        remove_left_over(target / BOARD)
    on_cpu = settings.pick_device(device).type == "cpu"
    jobs = min(jobs or (settings.threads() if on_cpu else 1), len(groups) or 1)
    threads = max(1, settings.threads() // jobs)
    # Loaded here, once: workers that each looked for the images would each try to download them.
    images = {}
    looked_at = missing if shipped else runs
    for name, jpeg in dict.fromkeys((run.data, run.jpeg) for run in looked_at):
        plain = load_images(name)
        if shipped:
            refuse_stand_in(plain)
        images[name, jpeg] = plain if jpeg is None else compress(plain, jpeg)
    described: dict[object, Described] = {}
    for run in looked_at:
        key = run.data, run.jpeg, run.validation, run.train_images
        if key not in described:
            described[key] = describe_images(run, images[run.data, run.jpeg])
        check_images(run, described[key], folder_of(run))
    for run in runs:
        check_network(run, folder_of(run), images.get((run.data, run.jpeg)))
    work = [_work(run, images[run.data, run.jpeg]) for run in missing]
    options = {"threads": threads, "device": device}
    if jobs == 1 and len(groups) == len(missing):
        several = len(missing) > 1
        with Overview("bar", _short_names(missing), work) if several else nullcontext() as whole:
            for number, run in enumerate(missing):
                if whole:
                    whole.begin(number)
                data, target = images[run.data, run.jpeg], folder_of(run)
                perform_once(run, data, target, weights=wanted(run), whole=whole, **options)
        return [_history(run, folder_of(run)) for run in runs]
    print(f"{len(missing)} runs, {jobs} at a time.", flush=True)
    with (
        none_killed("from the last whole epochs"),
        _view(missing, work, folder_of(missing[0])) as whole,
        whole.watching(),
    ):
        joblib.Parallel(n_jobs=jobs)(
            joblib.delayed(_perform_group)(
                group,
                images[group[0].data, group[0].jpeg],
                [folder_of(run) for run in group],
                parent=os.getpid(),
                weights=[wanted(run) for run in group],
                views=[whole.member(missing.index(run)) for run in group],
                **options,
            )
            for group in groups
        )
    return [_history(run, folder_of(run)) for run in runs]


def perform(
    run: Run,
    data: ImageData,
    folder: Path,
    *,
    threads: int | None = None,
    progress: str = "bar",
    device: str | None = None,
    weights: bool = False,
    whole: Overview | None = None,
) -> History:
    """One run, from its images (compressed already, if so asked) to its files in ``folder``."""
    data, model = _images_of(run, data), _model_of(run, data)
    checkpoint = _checkpoint(run, folder)
    try:
        history = fit(
            model,
            data,
            run.recipe,
            network=run.network,
            norm=run.norm,
            device=device,
            threads=threads,
            progress=progress,
            checkpoint=checkpoint,
            brief=run.brief,
            whole=whole,
        )
    except Diverged as error:
        history = error.history
    if weights:
        _keep_weights(run, model, data, history, folder)
    history.save(_path(run, folder))
    discard(checkpoint)
    return history


def perform_together(
    runs: Sequence[Run],
    data: ImageData,
    folders: Sequence[Path],
    *,
    threads: int | None = None,
    device: str | None = None,
    weights: Sequence[bool] | None = None,
) -> list[History]:
    """Runs that differ in their seed alone, trained as one; each with its files in its folder.

    ``weights`` says for each run whether they are kept (default: no).
    """
    from common.training import fit_together

    first = runs[0]
    data = _images_of(first, data)
    models = [_model_of(run, data) for run in runs]
    seeds = "-".join(str(run.recipe.seed) for run in runs)
    checkpoint = folders[0] / f".{first.name}-with-{seeds}.checkpoint"
    histories = fit_together(
        models,
        data,
        [run.recipe for run in runs],
        network=first.network,
        norm=first.norm,
        device=device,
        threads=threads,
        checkpoint=checkpoint,
        brief=first.brief,
    )
    # All weights before any history: with a history a run counts as done, and those that were left
    # could not go on without it from the checkpoint of all.
    wanted = weights or [False] * len(runs)
    for run, model, history, folder, keep in zip(
        runs, models, histories, folders, wanted, strict=True
    ):
        if keep:
            _keep_weights(run, model, data, history, folder)
    for run, history, folder in zip(runs, histories, folders, strict=True):
        history.save(_path(run, folder))
    discard(checkpoint)
    return histories


def _perform_group(
    runs: Sequence[Run],
    data: ImageData,
    folders: Sequence[Path],
    *,
    parent: int,
    weights: Sequence[bool],
    views: Sequence[Overview],
    **options: Any,
) -> None:
    """The runs of a group that no other process has made by the time it is this one's turn."""
    end_with(parent)
    with alone([_path(run, folder) for run, folder in zip(runs, folders, strict=True)]):
        left = [each for each in zip(runs, folders, weights, strict=True) if not is_done(*each)]
        if len(left) > 1:
            runs, folders, weights = zip(*left, strict=True)
            perform_together(runs, data, folders, weights=weights, **options)
        elif left:
            run, folder, keep = left[0]
            view = views[runs.index(run)]
            perform(run, data, folder, progress=view.progress, whole=view, weights=keep, **options)
    for view in views:
        view.at(1.0)


def perform_once(
    run: Run, data: ImageData, folder: Path, *, weights: bool = False, **options: Any
) -> None:
    """``perform`` the run, unless another process has it done by the time it is this one's turn."""
    folder.mkdir(parents=True, exist_ok=True)
    with alone([_path(run, folder)]):
        if not is_done(run, folder, weights):
            perform(run, data, folder, weights=weights, **options)


def _work(run: Run, data: ImageData) -> float:
    """How much there is to do, in epochs on all images at full size."""
    images = run.train_images or len(data.train)
    shares = run.recipe.pixel_shares(min(data.train.images.shape[-2:]))
    return sum(shares) * images / len(data.train)


def _short_names(runs: Sequence[Run]) -> list[str]:
    """What tells the runs apart: the norm, and what else is not the same for all."""
    parts = [(run.network, run.norm, run.label, f"seed {run.recipe.seed}") for run in runs]
    differ = [len(set(kind)) > 1 for kind in zip(*parts, strict=True)]
    differ[1:2] = [True]
    return [" ".join(p for p, shown in zip(mine, differ, strict=False) if shown) for mine in parts]


@contextmanager
def _view(runs: Sequence[Run], work: Sequence[float], folder: Path) -> Iterator[Overview]:
    """The view of runs side by side, on a board in ``folder`` that their processes share."""
    board = folder / f".{BOARD}.{os.getpid()}"
    try:
        with Overview("bar", _short_names(runs), work, board=board) as whole:
            yield whole
    finally:
        board.unlink(missing_ok=True)


def _groups(
    runs: Sequence[Run], together: int, folder_of: Callable[[Run], Path]
) -> list[list[Run]]:
    """The runs in groups that can be trained as one, none larger than ``together``.

    A group stands where its first run stood, so that runs in groups of one keep their order.
    """
    if together < 1:
        raise ValueError(f"together is {together}; it must be 1 or more.")
    groups: list[list[Run]] = []
    open_groups: dict[object, list[Run]] = {}
    for run in runs:
        key = replace(run, recipe=replace(run.recipe, seed=0))
        # One that was cut off on its own goes on on its own.
        alone = (
            together == 1 or not run.recipe.stackable or _checkpoint(run, folder_of(run)).exists()
        )
        group = [] if alone else open_groups.setdefault(key, [])
        if not group:
            groups.append(group)
        group.append(run)
        if len(group) == together:
            open_groups.pop(key, None)
    return groups


def _checkpoint(run: Run, folder: Path) -> Path:
    return folder / f".{run.name}.checkpoint"


def _images_of(run: Run, data: ImageData) -> ImageData:
    if run.validation:
        data = hold_out(data, size=min(5000, len(data.train) // 2))
    return data if run.train_images is None else first_images(data, run.train_images)


def _model_of(run: Run, data: ImageData) -> nn.Module:
    return seeded_model(run.network, run.norm, data, run.recipe.seed, builder=run.builder)


def _keep_weights(
    run: Run, model: nn.Module, data: ImageData, history: History, folder: Path
) -> None:
    """Write the weights of a run, unless it diverged."""
    if not history.failure:
        save_weights(model, folder / f"{run.name}.safetensors", history, data)


def perform_to(run: Run, out: Path, *, device: str | None = None) -> History:
    """One run into the file ``out``, its weights beside it; what it holds already is loaded.

    Only new files, and those that another run left there, are replaced; a line on stderr says which
    run. Raises ``OSError`` or ``ValueError`` before anything is trained if the files cannot be
    written or are somebody else's.
    """
    from common.data import load_images

    check_target(out, History.load)
    if out.suffix != ".json":
        raise ValueError(f"{out} is no name for a history; name a .json file.")
    check_target(out.with_suffix(".safetensors"), load_weights)
    run, data = replace(run, file=out.stem), load_images(run.data)
    with alone([out]):
        if not _holds(run, data, out):
            if out.exists():
                there = History.load(out)
                what = f"{there.network} {there.norm}, seed {there.seed}, {there.dataset}"
                print(f"{out} held a run ({what}), which is replaced.", file=sys.stderr)
            perform(run, data, out.parent, device=device, weights=True)
    return History.load(out)


def _holds(run: Run, data: ImageData, path: Path) -> bool:
    """Whether the file is of this very run, diverged or finished with its weights beside it."""
    if not path.exists():
        return False
    kept = History.load(path)
    same = (kept.network, kept.norm) == (run.network, run.norm)
    same = same and kept.parameters == parameters_of(run, data)
    same = same and kept.recipe == (run.recipe.shortened() if settings.quick() else run.recipe)
    if not same or kept.other_images(*describe_images(run, data)):
        return False
    return bool(kept.failure) or (
        kept.finished and has_weights(path.with_suffix(".safetensors"), kept)
    )


def _path(run: Run, folder: Path) -> Path:
    return folder / f"{run.name}.json"


def _history(run: Run, folder: Path) -> History:
    return History.load(_path(run, folder))


def refuse_stand_in(data: ImageData) -> None:
    """Raise ``ValueError`` if these are not the images that were asked for."""
    if data.note:
        raise ValueError(
            f"{data.note} Runs on other images do not belong in the course's results; for a trial "
            "name a folder of your own (--out; for a search --log)."
        )


def refuse_other_images(what: str, data: ImageData) -> None:
    """Raise ``ValueError`` unless the runs that come with the course were made on such images.

    In quick mode, where accuracies mean nothing, the built-in images stand in for CIFAR-10.
    """
    stands_in = data.quick and data.name == "shapes"
    if not (is_cifar10(data) or stands_in):
        raise ValueError(
            f"{what} is read off what comes with the course, and that was made on CIFAR-10; it "
            f"says nothing about {data.title}. Leave out --data, or this."
        )


class Described(NamedTuple):
    """What images are told apart by: title, numbers and ``ImageData.fingerprint``."""

    dataset: str
    train: int
    test: int
    fingerprint: str


def describe_images(run: Run, data: ImageData) -> Described:
    """What tells the images that a run is made on apart from any others."""
    data = _images_of(run, data)
    return Described(data.title, len(data.train), len(data.test), data.fingerprint)


def check_images(run: Run, images: Described, folder: Path) -> None:
    """Raise ``ValueError`` if ``folder`` holds this run, or one of another seed, on other images.

    A run of the time before fingerprints is told by its title and the numbers of its images.
    """
    for path in folder.glob(run.name.removesuffix(str(run.recipe.seed)) + "*.json"):
        if different := History.load(path).other_images(*images):
            raise ValueError(
                f"{path} holds a run on other images ({different}). Choose another folder, or "
                "delete the file to train again."
            )


def parameters_of(run: Run, data: ImageData | None = None) -> int:
    """The number of parameters of the run's network for these images, by default CIFAR-10's."""
    from common.networks import build, count_parameters

    make, options = run.builder or partial(build, run.network), {}
    if data:
        options = {"classes": len(data.classes), "image_size": data.train.images.shape[-1]}
    with torch.random.fork_rng(devices=[]):
        return count_parameters(make(norm=run.norm, **options))


def check_network(run: Run, folder: Path, data: ImageData | None = None) -> None:
    """Raise ``ValueError`` if ``folder`` holds this run of a network that has changed since.

    ``data`` are its images, by default CIFAR-10's.
    """
    path = _path(run, folder)
    if not path.exists():
        return
    there, here = _history(run, folder).parameters, parameters_of(run, data)
    if there != here:
        raise ValueError(
            f"{path} was trained with a {run.network} network of {there:,} parameters; it has "
            f"{here:,} now. Delete the file, or choose another folder."
        )


def is_done(run: Run, folder: Path, weights: bool) -> bool:
    """Whether ``folder`` holds this run, finished or diverged, with its weights if so asked.

    Raises ``ValueError`` if it holds a run of this name with another recipe.
    """
    path = _path(run, folder)
    if not path.exists():
        return False
    history = _history(run, folder)
    expected = run.recipe.shortened() if settings.quick() else run.recipe
    if history.recipe != expected:
        different = {
            name: (value, asdict(expected)[name])
            for name, value in asdict(history.recipe).items()
            if value != asdict(expected)[name]
        }
        raise ValueError(
            f"{path} holds a run with another recipe (there, here): {different}. "
            "Choose another folder, or delete the file to train again."
        )
    if history.failure:
        return True
    return history.finished and (
        not weights or has_weights(path.with_suffix(".safetensors"), history)
    )
