"""The figures of the pages, drawn from the results and weights kept with the lessons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common import visualisation
from common.data import load_images
from common.experiments import FIELD, load_weights, median_run, weights_of
from common.reports.field_tables import both_ways
from common.reports.kept import Results, finished, load_results
from common.settings import LESSONS, ROOT, tune_process
from common.training import predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from common.data import ImageData
    from common.training import History


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
        for name, figure in _of_lesson(results, norm, folder, data):
            yield visualisation.save(figure, target / name)


def _all_norms(results: Results) -> Iterator[tuple[str, Figure]]:
    words = "Which values share a mean and a variance"
    yield "sets.png", visualisation.axes_figure(title=words)
    if runs := finished(results.course.get("", [])):
        yield "comparison.png", visualisation.comparison(runs)
    field = [results.field_runs.get((e.network, e.norm, "course"), []) for e in FIELD]
    if runs := finished(run for mine in field for run in mine):
        words = "networks of the field, the course's recipe, test accuracy"
        yield "field.png", visualisation.comparison(runs, words=words)
    if pairs := [pair for network in both_ways(results).values() for pair in network]:
        source, course = (
            [run for runs in which for run in runs] for which in zip(*pairs, strict=True)
        )
        names = ("source's recipe", "course's recipe")
        words = "the same networks, trained with two recipes"
        yield "recipes.png", visualisation.slopes(source, course, names, words=words)


def _of_lesson(
    results: Results, norm: str, folder: Path, data: ImageData | None
) -> Iterator[tuple[str, Figure]]:
    """The lesson's own network: its curves, and the mistakes of the run that the lesson shows."""
    runs = finished(run for run in results.course.get("", []) if run.norm == norm)
    if not runs:
        return
    yield "curves.png", visualisation.curves(runs)
    shown = median_run(runs)
    path = folder / weights_of(shown).name
    if data is not None and data.title == shown.dataset and path.exists():
        logits = predict(load_weights(path, shown.network, shown.norm)[0], data.test, data)
        yield "misclassified.png", visualisation.misclassified(data, logits, norm=norm)
        yield "confusion.png", visualisation.confusion(data, logits, norm=norm)


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
