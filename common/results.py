"""The runs and weights that the course ships, a folder in each lesson."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.settings import ROOT, RUNS
from common.theme import LESSONS
from common.training import History

if TYPE_CHECKING:
    from torch import nn

    from common.data import ImageData


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
    return load_histories(results_folder(norm), f"course-{norm}-seed*.json")


def field_histories(network: str, recipe: str) -> list[History]:
    """The shipped runs of a network of the field, all norms, with one recipe.

    ``recipe`` is ``source`` or ``course``. Raises ``FileNotFoundError`` if there is no such run.
    """
    found = []
    for norm in LESSONS:
        pattern = f"{network}-{norm}-{recipe}-seed*.json"
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
    """The file of the weights that a shipped run of the course network ended with."""
    name = f"{history.network}-{history.norm}-seed{history.seed}.safetensors"
    return results_folder(history.norm) / name


def load_weights(path: str | Path) -> tuple[nn.Module, dict[str, str]]:
    """The network in a weights file, in evaluation mode, and what the file says of it.

    Raises ``FileNotFoundError`` if there is no such file, ``ValueError`` if it is not one of ours.
    """
    from safetensors import safe_open

    from common.models import build

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"There are no weights at {path}. Train them: python -m common train --norm batch"
        )
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        options = {"classes": int(about["classes"]), "image_size": int(about["image_size"])}
        model = build(about["network"], about["norm"], **options)
        model.load_state_dict(tensors)
    except (KeyError, RuntimeError, OSError, ValueError) as error:
        raise ValueError(f"{path} holds no weights of this course's networks: {error}") from error
    except Exception as error:  # safetensors raises a class of its own, of no exported type
        if type(error).__name__ != "SafetensorError":
            raise
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    return model.eval(), about


def load_shipped(norm: str) -> tuple[nn.Module, History]:
    """The shipped network of a lesson, from the median seed, and the history of its run."""
    history = median_run(course_histories(norm))
    model, _ = load_weights(weights_of(history))
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

    It is trained if ``train`` says so, in quick mode, for another network than the course's, and
    for images that the shipped weights were not made for. A training cut off goes on from its last
    whole epoch when it is called again.
    """
    from common import training
    from common.recipes import course_recipe

    fits = network == "course" and data.name.startswith("CIFAR-10") and not data.quick
    if fits and not train:
        model, history = load_shipped(norm)
        print(f"Loaded the shipped {norm} run: seed {history.seed}, {history.dataset}.")
        return model, history
    recipe = course_recipe(norm, seed)
    model = training.seeded_model(network, norm, data, seed)
    checkpoint = RUNS / "lessons" / f"{network}-{norm}-seed{seed}.checkpoint"
    history = training.fit(
        model,
        data,
        recipe,
        network=network,
        norm=norm,
        checkpoint=None if data.quick else checkpoint,
    )
    return model, history
