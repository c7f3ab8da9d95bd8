"""The figures of the READMEs, drawn from the results and weights kept with the lessons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common import visualisation
from common.data import load_images
from common.experiments import FIELD, load_weights, median_run, weights_of
from common.reports.field_tables import both_ways
from common.reports.kept import Results, finished, load_results
from common.reports.pages import lesson_networks
from common.settings import LESSONS, ROOT, tune_process
from common.training import History, predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from common.data import ImageData


def draw(
    root: str | Path = ROOT, images: str | None = None, out: str | Path | None = None
) -> Iterator[Path]:
    """Draw every figure that the results under ``root`` allow; yields each file when it is there.

    Within ``out`` (default: ``root``) the lessons' go to ``<lesson>/results``, those of all norms
    together to ``common/results``.
    Mistakes are drawn where weights are kept and ``images`` names those they were trained on, as
    ``load_images`` takes it.
    The same results give the same files, byte for byte, with the same matplotlib.
    """
    root, data = Path(root), None
    out = Path(out or root)
    results = load_results(root)
    if images is not None and any(root.glob("*/results/*.safetensors")):
        tune_process()
        data = load_images(images)
    for name, figure in _all_norms(results):
        yield visualisation.save(figure, out / "common" / "results" / name)
    for norm, lesson in LESSONS.items():
        folder, target = (place / lesson / "results" for place in (root, out))
        for name, figure in _of_lesson(results, norm):
            yield visualisation.save(figure, target / name)
        for name, figure in _mistakes(results, norm, folder, data):
            yield visualisation.save(figure, target / name)


def _all_norms(results: Results) -> Iterator[tuple[str, Figure]]:
    if runs := finished(results.course.get("", [])):
        yield "comparison.png", visualisation.comparison(runs)
    if runs := _of_field(results, [(entry.network, entry.norm) for entry in FIELD]):
        words = f"networks of the field, the {_recipe_shown(results)}'s recipe, test accuracy"
        yield "field.png", visualisation.comparison(runs, words=words)
    if pairs := [pair for network in both_ways(results).values() for pair in network]:
        source, course = (
            [run for runs in which for run in runs] for which in zip(*pairs, strict=True)
        )
        names = ("source's recipe", "course's recipe")
        words = "the same networks, trained with two recipes"
        yield "recipes.png", visualisation.slopes(source, course, names, words=words)


def _of_lesson(results: Results, norm: str) -> Iterator[tuple[str, Figure]]:
    if runs := _of_course(results, norm):
        yield "curves.png", visualisation.curves(runs)
    if runs := _of_field(results, list(lesson_networks(LESSONS[norm]).items())):
        yield (
            "field.png",
            visualisation.curves(
                runs,
                ("accuracy",),
                group_by=lambda run: run.network,
                train=False,
                words=f"networks of the field in training, the {_recipe_shown(results)}'s recipe",
            ),
        )


def _mistakes(
    results: Results, norm: str, folder: Path, data: ImageData | None
) -> Iterator[tuple[str, Figure]]:
    if data is None:
        return
    shown = [median_run(runs)] if (runs := _of_course(results, norm)) else []
    for run in shown:
        if logits := _logits(folder / weights_of(run).name, run, data):
            yield "misclassified.png", visualisation.misclassified(data, *logits, norm=norm)
            yield "confusion.png", visualisation.confusion(data, *logits, norm=norm)
    for entry in FIELD:
        runs = _of_field(results, [(entry.network, entry.norm)])
        if entry.norm != norm or not runs:
            continue
        run, recipe = median_run(runs), _recipe_shown(results)
        if logits := _logits(folder / weights_of(run, recipe).name, run, data):
            figure = visualisation.misclassified(data, *logits, count=12, norm=norm)
            yield f"{entry.network}-misclassified.png", figure


def _logits(path: Path, run: History, data: ImageData) -> tuple | None:
    """The network's answers for the test images, in a tuple; None without weights or images."""
    if not path.exists() or data.title != run.dataset:
        return None
    model, _ = load_weights(path, run.network, run.norm)
    return (predict(model, data.test, data),)


def _of_course(results: Results, norm: str) -> list[History]:
    return finished(run for run in results.course.get("", []) if run.norm == norm)


def _recipe_shown(results: Results) -> str:
    """Whose recipe the field's figures show: the course's once every network has a run with it.

    Until then the source's: a figure that mixed the two would compare recipes, not networks.
    """
    runs = results.field_runs
    done = [finished(runs.get((entry.network, entry.norm, "course"), [])) for entry in FIELD]
    return "course" if all(done) else "source"


def _of_field(results: Results, pairs: list[tuple[str, str]]) -> list[History]:
    """The finished runs of these networks and norms with the recipe that the figures show."""
    recipe = _recipe_shown(results)
    runs = [results.field_runs.get((network, norm, recipe), []) for network, norm in pairs]
    return finished(run for mine in runs for run in mine)


def draw_comparison(histories: Sequence[History], folder: str | Path) -> list[Path]:
    """Curves and comparison of the runs that finished, as PNG files in ``folder``."""
    done = finished(histories)
    if not done:
        return []
    figures = {
        "curves.png": visualisation.curves(done),
        "comparison.png": visualisation.comparison(done),
    }
    return [visualisation.save(figure, Path(folder) / name) for name, figure in figures.items()]
