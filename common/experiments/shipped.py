"""The runs that the course ships, a folder in each lesson, and the weights of the median ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.data import folder_name, is_cifar10
from common.experiments.weights import load_weights
from common.settings import LESSONS, ROOT, RUNS, quick
from common.training import History

if TYPE_CHECKING:
    from torch import nn

    from common.data import ImageData
    from common.experiments.runs import Run


def results_folder(norm: str) -> Path:
    """``<lesson>/results`` of the lesson that teaches this norm.

    Raises ``ValueError`` for a norm without a lesson.
    """
    if norm not in LESSONS:
        raise ValueError(f"No lesson teaches {norm!r}; the lessons are on {', '.join(LESSONS)}.")
    return ROOT / LESSONS[norm] / "results"


def load_histories(folder: str | Path, pattern: str = "*.json") -> list[History]:
    """Every finished run in ``folder`` whose file name fits ``pattern``, by norm and seed.

    Raises ``FileNotFoundError`` if there is none.
    """
    found = [History.load(path) for path in sorted(Path(folder).glob(pattern))]
    found = [history for history in found if history.finished]
    if not found:
        raise FileNotFoundError(
            f"No finished run {pattern} in {folder}. Train one: python -m common compare"
        )
    return sorted(found, key=lambda history: (history.norm, history.seed))


def course_histories(norm: str) -> list[History]:
    """The shipped runs of the course network with this norm, one a seed."""
    return shipped_histories("course", norm)


def shipped_histories(network: str, norm: str) -> list[History]:
    """The shipped runs of a network with this norm and the course's recipe, one a seed.

    Raises ``FileNotFoundError`` if there is none, ``ValueError`` for a norm without a lesson or an
    unknown network.
    """
    from common.networks import NETWORKS

    if network not in NETWORKS:
        raise ValueError(f"Unknown network {network!r}. Known: {', '.join(NETWORKS)}.")
    if not is_shipped(network, norm):
        others = " and ".join(other for other in LESSONS if is_shipped(network, other))
        raise FileNotFoundError(
            f"The course ships no run of {network!r} with {norm} norm"
            + (f", only with {others}" if others else "")
            + f". Train one: python -m common train --network {network} --norm {norm}"
        )
    return load_histories(results_folder(norm), f"{_stem(network, norm)}-seed*.json")


def is_shipped(network: str, norm: str) -> bool:
    """Whether the course ships runs of this network with this norm and the course's recipe."""
    return any(results_folder(norm).glob(f"{_stem(network, norm)}-seed*.json"))


def shipped_run(network: str, norm: str) -> History:
    """The run that the lessons show: the median of the shipped ones, the one that has weights.

    Raises ``FileNotFoundError`` if no run is shipped or the weights are missing, ``ValueError`` for
    a norm without a lesson.
    """
    shown = median_run(shipped_histories(network, norm))
    if not (path := weights_of(shown)).exists():
        own = network == "course"
        study = "accuracy" if own else f"field --recipes course --networks {network}"
        raise FileNotFoundError(
            f"The weights of the median run are missing: {path}. Have git restore them, or delete "
            f"{path.with_suffix('.json').name} and train the run again: "
            f"python -m common {study} --norms {norm} --seeds {shown.seed}"
        )
    return shown


def is_shown(run: Run) -> bool:
    """Whether a run is one of those whose median the lessons show."""
    return run.name == f"{_stem(run.network, run.norm)}-seed{run.recipe.seed}"


def run_for_lessons(
    runs: Sequence[Run], folder: Path | None = None, **options: Any
) -> list[History]:
    """Perform runs into the lessons' results, or into a folder of one's own; all their histories.

    Weights are kept of the runs that ``is_shown`` names; in the lessons' results only of the median
    of each network and norm. ``options`` are those of ``run_all``.

    Raises ``ValueError`` for runs that do not belong in the lessons' results,
    ``FileNotFoundError`` if new runs have made one the median whose weights were not kept, and
    what ``run_all`` raises.
    """
    from common.experiments.runs import run_all

    if folder is not None:
        return run_all(runs, folder, weights=is_shown, **options)
    for data in dict.fromkeys(run.data for run in runs):
        check_shippable(data)
    histories = run_all(
        runs, lambda run: results_folder(run.norm), weights=is_shown, shipped=True, **options
    )
    done = [h for run, h in zip(runs, histories, strict=True) if is_shown(run) and h.finished]
    for network, norm in dict.fromkeys((history.network, history.norm) for history in done):
        keep_median_weights(network, norm)
    return histories


def keep_median_weights(network: str, norm: str) -> None:
    """Delete the shipped weights of a network with this norm, but for those of the median run.

    Raises ``FileNotFoundError``, before anything is deleted, if the median's are missing.
    """
    shown = shipped_run(network, norm)
    for run in shipped_histories(network, norm):
        if run.seed != shown.seed:
            weights_of(run).unlink(missing_ok=True)


def check_shippable(data: str | Path) -> None:
    """Raise ``ValueError`` unless full runs on these images belong in the lessons' results."""
    if quick() or folder_name(data) != "cifar10":
        kind = "Quick runs" if quick() else f"Runs on {data}"
        raise ValueError(f"{kind} do not belong in the lessons' results; name a folder: --out")


def _stem(network: str, norm: str, recipe: str = "course") -> str:
    """What the files of a network's shipped runs begin with."""
    # The course's network has one recipe, so its runs need no label.
    return f"{network}-{norm}" if network == "course" else f"{network}-{norm}-{recipe}"


def field_histories(network: str, recipe: str) -> list[History]:
    """The shipped runs of a network of the field, all norms, with one recipe.

    ``recipe`` is ``source`` or ``course``. Raises ``FileNotFoundError`` if there is no such run.
    """
    found = []
    for norm in LESSONS:
        pattern = f"{_stem(network, norm, recipe)}-seed*.json"
        if any(results_folder(norm).glob(pattern)):
            found += load_histories(results_folder(norm), pattern)
    if not found:
        raise FileNotFoundError(
            f"No run of {network!r} with the {recipe!r} recipe is shipped. Train one: "
            f"python -m common field --networks {network} --recipes {recipe}"
        )
    return found


def median_run(histories: list[History]) -> History:
    """The run whose test accuracy is the median (the lower of two middle ones).

    A lesson shows this run: the best one would promise too much.
    """
    if not histories:
        raise ValueError("There is no run to choose from.")
    ranked = sorted(histories, key=lambda history: (history.test_accuracy, history.seed))
    return ranked[(len(ranked) - 1) // 2]


def weights_of(history: History) -> Path:
    """The file for the weights of a shipped run with the course's recipe; the median's is there."""
    name = f"{_stem(history.network, history.norm)}-seed{history.seed}.safetensors"
    return results_folder(history.norm) / name


def load_shipped(norm: str, network: str = "course") -> tuple[nn.Module, History]:
    """A shipped network of a lesson, from the median seed, and the history of its run.

    Raises ``FileNotFoundError`` if the course ships no run of it.
    """
    history = shipped_run(network, norm)
    model, _ = load_weights(weights_of(history), network, norm)
    return model, history


def train_or_load(
    norm: str,
    data: ImageData,
    *,
    train: bool = False,
    network: str = "course",
    seed: int = 1,
) -> tuple[nn.Module, History]:
    """A lesson's trained network and its history: shipped, or trained here and now.

    It is trained if ``train`` says so, in quick mode, for a network that is not shipped with this
    norm, and for all images but the whole of CIFAR-10 (``is_cifar10``): a shipped network has seen
    those that a part of it holds out, and knows ten classes at one size. A training cut off goes on
    from its last whole epoch when it is called again; one that has ended is kept in ``runs``, and
    loaded from there the next time.
    """
    if not train and is_cifar10(data) and is_shipped(network, norm):
        model, history = load_shipped(norm, network)
        which = f"{network} with {norm} norm, seed {history.seed}"
        print(f"Loaded the shipped run of {which}, {history.dataset}.")
        return model, history
    return _train_and_keep(norm, data, network, seed)


def trainer(networks: Mapping[str, str]) -> Callable[..., tuple[nn.Module, History]]:
    """``train_or_load`` for one lesson: its networks, each with the norm it is built with there.

    A network that ``networks`` does not name gets the norm of the first one that it does.
    """
    own = next(iter(networks.values()))

    def trained(
        data: ImageData, train: bool = False, network: str = "course", seed: int = 1
    ) -> tuple[nn.Module, History]:
        """A trained network of this lesson and its history: ``train_or_load`` of the course."""
        norm = networks.get(network, own)
        return train_or_load(norm, data, train=train, network=network, seed=seed)

    return trained


def _train_and_keep(
    norm: str, data: ImageData, network: str, seed: int
) -> tuple[nn.Module, History]:
    """A run in a folder of its data set's; one that is there already is loaded."""
    from common.experiments import runs
    from common.training import Diverged, course_recipe

    run = runs.Run(network, norm, course_recipe(norm, seed))
    folder = RUNS / "lessons" / re.sub(r"\W+", "-", data.title).strip("-").lower()
    runs.check_images(run, runs.describe_images(run, data), folder)
    runs.check_network(run, folder, data)
    if runs.is_done(run, folder, weights=True):
        print(f"Loaded your own run from {folder / run.name}.json; delete it to train again.")
    else:
        runs.perform_once(run, data, folder, weights=True)
    history = History.load(folder / f"{run.name}.json")
    if history.failure:
        raise Diverged(history)
    model, _ = load_weights(folder / f"{run.name}.safetensors", network, norm)
    return model, history
