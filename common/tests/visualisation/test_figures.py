from __future__ import annotations

import base64
import io
import itertools
import math
import os
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from common import settings
from common import visualisation as show
from common.data.types import ImageData, ImageSet
from common.training import Recipe, Reliability
from common.visualisation import drawing, theme
from common.visualisation.answers import HEAT, glowing
from common.visualisation.pictures import RIGHT

TITLE = "a folder of pictures"
CLASSES = ("cat", "dog", "a class with a rather long name", "$5 or $9")


def image_set(count: int, classes: int, size: int) -> ImageSet:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.arange(count) % classes)


def image_data(classes: int = 4, size: int = 16, train: int = 40, test: int = 24) -> ImageData:
    names = CLASSES if classes == 4 else tuple(f"class {k}" for k in range(classes))
    sets = image_set(train, classes, size), image_set(test, classes, size)
    return ImageData(TITLE, *sets, names, (0.5,) * 3, (0.25,) * 3)


def logits_for(data: ImageData, wrong: dict[int, int] | None = None) -> torch.Tensor:
    """Logits that say the true class of each test image, but for ``wrong``: image -> class."""
    answers = data.test.labels.clone()
    for image, answer in (wrong or {}).items():
        answers[image] = answer
    return 4.0 * nn.functional.one_hot(answers, len(data.classes)).float()


def history(norm="batch", seed=1, final=70.0, epochs=3, network="course", **changes):
    """A run as ``common.training.History`` describes it."""
    rows = [
        {
            "epoch": epoch,
            "learning_rate": 0.1,
            "train_loss": 2 - epoch / 10,
            "train_accuracy": final - 5 * (epochs - epoch) - 2,
            "test_loss": 2.1 - epoch / 10,
            "test_accuracy": final - 5 * (epochs - epoch),
            "seconds": 2.0,
        }
        for epoch in range(1, epochs + 1)
    ]
    values = {
        "norm": norm,
        "network": network,
        "parameters": 44_970,
        "recipe": Recipe(seed=seed, epochs=max(1, epochs)),
        "dataset": TITLE,
        "quick": False,
        "epochs": rows,
        "train_accuracy": final + 3,
        "train_loss": 0.5,
        "column": lambda name: [row[name] for row in rows],
        "test_accuracy": final,
    }
    return SimpleNamespace(**values | changes)


def tally() -> Figure:
    guesses = show.Guesses()
    guesses.ask("a question of many words, too many for one line", guess=4, unit="%").settle(12.3)
    return guesses.tally()


def title_of(figure: Figure) -> str:
    return figure.get_suptitle().replace("\n", " ")


def texts_of(figure: Figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts if t.get_text()]


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


DATA = image_data()
RUNS = [history(n, s, b + s) for n, b in (("batch", 70), ("group", 65)) for s in (1, 2, 3)]
TURNS = SimpleNamespace(
    histories={run.norm: run for run in (history(), history("none", epochs=2))},
    gradients={"batch": [[0.1, 0.2]] * 3, "none": [[1e-4, 0.1]] * 2},
    layers=["a", "b"],
    recipe=Recipe(epochs=3),
)
SURE = {
    "batch": Reliability(
        np.array([np.nan, 60.0, 90.0]),
        np.array([np.nan, 50.0, 95.0]),
        np.array([0, 4, 6]),
        7.0,
        1.0,
    )
}
STEPS = torch.rand(20, 4)
TENSOR = torch.randn(4, 6, 3, 3, generator=torch.Generator().manual_seed(1))

# Every figure that the lessons call, once, with the data set's title where there is one.
FIGURES = {
    "gallery": lambda: show.gallery(DATA.test.images[:3], title="three", dataset=TITLE),
    "samples": lambda: show.samples(DATA),
    "samples of 10": lambda: show.samples(image_data(10, 32)),
    "samples of 100": lambda: show.samples(image_data(100, 32, 100)),
    "augmentations": lambda: show.augmentations(DATA, lambda x: x.flip(3)),
    "misclassified": lambda: show.misclassified(DATA, logits_for(DATA, {0: 1, 5: 2})),
    "none misclassified": lambda: show.misclassified(DATA, logits_for(DATA)),
    "curves": lambda: show.curves(RUNS),
    "one curve": lambda: show.curves(history()),
    "one epoch": lambda: show.curves(history(epochs=1)),
    "three panels": lambda: show.curves(RUNS, ("accuracy", "loss", "learning_rate")),
    "comparison": lambda: show.comparison(RUNS, marks={"goal": 80}),
    "networks": lambda: show.comparison([*RUNS, history(network="other")]),
    "slopes": lambda: show.slopes(RUNS, RUNS[::-1], ("one way", "another way")),
    "confusion": lambda: show.confusion(DATA, logits_for(DATA, {0: 1}), norm="group"),
    "confusion of 100": lambda: show.confusion(
        image_data(100, 16, 100, 200), logits_for(image_data(100, 16, 100, 200), {0: 1, 3: 7})
    ),
    "class accuracy": lambda: show.class_accuracy(DATA, logits_for(DATA, {0: 1}), norm="layer"),
    "classes by norm": lambda: show.class_accuracy(
        DATA, {"batch": logits_for(DATA), "group": logits_for(DATA, {0: 1})}
    ),
    "histograms": lambda: show.activation_histograms(TENSOR, TENSOR, norm="batch", dataset=TITLE),
    "running": lambda: show.running_statistics(STEPS, STEPS, STEPS, STEPS, dataset=TITLE),
    "gradient": lambda: show.removed_gradient(STEPS[:, 0], STEPS[:, 0], STEPS[:, 0], dataset=TITLE),
    "affine": lambda: show.affine_parameters(
        {"norm 1": (torch.rand(8), torch.rand(8))}, norm="layer", dataset=TITLE
    ),
    "gradients": lambda: show.gradient_norms(
        ["conv 1", "conv 2"], {"batch": [1, 2], "none": [0.1, 1]}, dataset=TITLE
    ),
    "lines": lambda: show.line_figure(
        [1, 2, 4], {"train mode": [1, 2, 3], "eval mode": torch.rand(5, 3)}, norm="batch",
        xlabel="batch size in images", ylabel="accuracy in %", title="two modes", dataset=TITLE,
        xscale="log2", marks={"chance": 0.5},
    ),
    "reliability": lambda: show.reliability_diagram(SURE, dataset=TITLE),
    "disagreements": lambda: show.disagreements(
        DATA, [0, 5, 6],
        {"batch": logits_for(DATA), "none": logits_for(DATA, {0: 1, 5: 2})},
        {"batch": torch.rand(3, 4, 4), "none": torch.zeros(3, 4, 4)},
    ),
    "turns": lambda: show.turns_figure(TURNS, marks={"your guess: 60 %": 60}),
    "map": lambda: show.layer_map(
        {"spread": {kind: torch.rand(5, 3) for kind in ("none", "batch", "group", "layer")}},
        (0.5, 1, 2), xlabel="gain", title="five layers", dataset=TITLE,
    ),
    "heat": lambda: show.heat_maps(
        {f"seed {k}": {"norm 1": torch.rand(4, 4), "norm 2": torch.rand(2, 2)} for k in (1, 2)},
        xlabel="column", ylabel="row", label="scale", title="two maps", dataset=TITLE, centre=1,
    ),
    "bars": lambda: show.bar_figure(
        {"batch": 32, "layer": 3072}, xlabel="parameters", title="what it costs", dataset=TITLE
    ),
}  # fmt: skip
WITHOUT_DATA = {
    "tally": lambda: tally(),
    "sets": lambda: show.axes_figure(),
    "five sets": lambda: show.axes_figure(show.SET_KINDS[:5], n=2, c=4, h=2, w=2, groups=2),
    "sets of values": lambda: show.axes_figure(values=TENSOR),
}
PHOTOGRAPHIC = {"gallery", "samples", "samples of 10", "samples of 100", "augmentations"}
NO_AXES = {*PHOTOGRAPHIC, "misclassified", "none misclassified", "disagreements"}


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return {name: make() for name, make in (FIGURES | WITHOUT_DATA).items()}


@pytest.mark.parametrize("name", FIGURES)
def test_every_title_starts_with_the_data_sets_title(figures, name):
    assert title_of(figures[name]).startswith(f"{TITLE}: ")


@pytest.mark.parametrize("name", [*FIGURES, *WITHOUT_DATA])
def test_every_figure_is_small_and_readable_and_fits_a_notebook(figures, name):
    figure = figures[name]
    assert figure.dpi == 100
    width, height = figure.get_size_inches()
    assert width == 9.5
    assert height <= 11
    prints = [*figure.findobj(lambda a: hasattr(a, "get_fontsize") and a.get_text().strip())]
    assert prints
    assert min(text.get_fontsize() for text in prints if text.get_visible()) >= 9


@pytest.mark.parametrize("name", [*FIGURES, *WITHOUT_DATA])
def test_every_chart_names_its_axes(figures, name):
    visible = [axes for axes in figures[name].axes if axes.get_visible() and axes.axison]
    assert bool(visible) != (name in NO_AXES)
    shared = {
        "histograms",
        "running",
        "affine",
        "heat",
    }  # inner panels share the outer ones' labels
    for axes in visible:
        if name not in shared:
            # A chart of names on one axis needs a label on the other only.
            assert axes.get_xlabel() or axes.get_ylabel()
    assert not visible or any(axes.get_xlabel() for axes in visible)


@pytest.mark.parametrize("name", [*FIGURES, *WITHOUT_DATA])
def test_nothing_is_drawn_outside_the_figure(figures, name):
    figure = figures[name]
    figure.draw_without_rendering()
    parts = {"title": figure._suptitle.get_window_extent()}
    parts |= {text: legend.get_window_extent() for text, legend in enumerate(figure.legends)}
    for number, axes in enumerate(figure.axes):
        if axes.get_visible() and axes.axison:
            parts[f"panel {number}"] = axes.get_tightbbox()
        parts |= {text.get_text(): text.get_window_extent() for text in axes.texts}
    for part, box in parts.items():
        assert min(box.x0, box.y0) >= -1, part
        assert box.x1 <= figure.bbox.width + 1, part
        assert box.y1 <= figure.bbox.height + 1, part


def test_legends_do_not_lie_on_each_other_or_on_the_panels(figures):
    for name in ("curves", "three panels", "networks", "gradients", "lines"):
        figure = figures[name]
        figure.draw_without_rendering()
        boxes = [legend.get_window_extent() for legend in figure.legends]
        boxes += [axes.get_tightbbox() for axes in figure.axes]
        for first, second in itertools.combinations(boxes[: len(figure.legends) + 1], 2):
            assert not first.overlaps(second), name


# --- how a figure is shown and saved --------------------------------------------------------------


def test_pyplot_never_hears_of_a_figure():
    code = (
        "import sys\n"
        "from common import visualisation as show\n"
        "figure = show.axes_figure()\n"
        "assert figure._repr_mimebundle_()[0]['image/png']\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "import matplotlib\n"
        "assert matplotlib.rcParams['font.size'] == 10\n"  # the reader's own settings are left
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=settings.ROOT, env=dict(os.environ)
    )


def shown_in_a_notebook(shell, figure: Figure) -> list:
    """What a kernel sends where a cell ends with the figure."""
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        value, _ = shell.display_formatter.format(figure)
    assert not value  # nothing is shown a second time as the cell's value
    return captured.outputs


def test_a_notebook_gets_one_picture_with_a_text_for_screen_readers(shell, figures):
    from IPython.core.pylabtools import select_figure_formats

    (before,) = shown_in_a_notebook(shell, figures["curves"])
    # What pyplot does when a learner first draws with it.
    select_figure_formats(shell, {"png"})
    (after,) = shown_in_a_notebook(shell, figures["curves"])
    for output in (before, after):
        assert set(output.data) == {"text/html", "image/png", "text/plain"}
        assert "<Figure size" not in output.data["text/plain"]
        # Front ends read it in HTML alone.
        assert "BatchNorm 72.0 %" in Page(output.data["text/html"]).image["alt"]
    assert before.data == after.data


class Page(HTMLParser):
    """The picture of an HTML output: the attributes of its ``img``, and its pixels."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str]]) -> None:
        if tag == "img":
            self.image = dict(attributes)

    @property
    def pixels(self) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(self.image["src"].partition(",")[2])))


def test_a_picture_is_sharp_on_a_screen_with_twice_the_pixels(figures):
    page = Page(figures["curves"]._repr_mimebundle_()[0]["text/html"])
    width, height = int(page.image["width"]), int(page.image["height"])
    assert page.pixels.width == 2 * width == 2 * 100 * drawing.WIDTH
    assert math.ceil(page.pixels.height / 2) == height


def test_what_a_text_for_screen_readers_quotes_breaks_no_html():
    figure = show.line_figure([1], {"a": [1]}, title='a "quoted" <title>', dataset="R&D's",
                              xlabel="x", ylabel="y")  # fmt: skip
    page = Page(figure._repr_mimebundle_()[0]["text/html"])
    assert page.image["alt"] == figure.alt
    assert 'a "quoted" <title>' in figure.alt


def test_charts_are_small_files_and_sheets_of_pictures_not_large(figures):
    # Fifteen charts and four sheets make a lesson that GitHub still shows.
    sizes = {
        name: sum(map(len, figures[name]._repr_mimebundle_()[0].values()))
        for name in ("curves", "sets", "samples of 10")
    }
    assert sizes["curves"] < 120_000
    assert sizes["sets"] < 80_000
    # Noise, which no file format makes smaller; photographs need less.
    assert sizes["samples of 10"] < 500_000


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_saved_figure_is_the_same_byte_for_byte(tmp_path, suffix):
    paths = [
        show.save(show.comparison(RUNS), tmp_path / name / f"figure.{suffix}") for name in "ab"
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].read_bytes()
    assert [path.name for path in paths[0].parent.iterdir()] == [f"figure.{suffix}"]


def test_what_a_killed_process_left_of_a_figure_goes_and_a_folder_stays(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f".figure.svg.{gone.pid}").touch()
    (tmp_path / "folder.svg").mkdir()
    show.save(show.axes_figure(), tmp_path / "figure.svg")
    with pytest.raises(OSError, match=r"folder\.svg could not be written"):
        show.save(show.axes_figure(), tmp_path / "folder.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.svg", "folder.svg"]


def test_saving_under_another_suffix_says_which_are_allowed(tmp_path):
    with pytest.raises(ValueError, match=r"'figure\.bmp'.*\.png, \.svg or \.pdf"):
        show.save(show.axes_figure(), tmp_path / "figure.bmp")


def test_the_readers_own_style_changes_nothing():
    import matplotlib

    expected = drawing.encode(show.curves(RUNS), "png")
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "xtick.labelsize": 3}):
        assert drawing.encode(show.curves(RUNS), "png") == expected


@pytest.mark.parametrize("width", [0.0, 0.3, 0.8, 1.5, 9.0])
def test_names_are_cut_to_the_room_there_is_and_no_shorter(width):
    name = "an extraordinarily long name of a class"
    cut = drawing.shorten(name, width)
    if cut == name:
        assert drawing.text_width(name) <= width
        return
    kept = cut.removesuffix("…")
    assert name.startswith(kept)
    assert cut.endswith("…")
    assert drawing.text_width(cut) <= width or len(kept) == 1
    longer = name[: len(kept) + 2]
    assert drawing.text_width(longer.rstrip() + "…") > width


# --- images ---------------------------------------------------------------------------------------


def pixels_of(figure: Figure) -> np.ndarray:
    content = base64.b64decode(figure._repr_mimebundle_()[0]["image/png"])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def contains(picture: np.ndarray, patch: np.ndarray) -> bool:
    """Whether ``patch`` is somewhere in ``picture``, colour for colour."""
    height, width = patch.shape[:2]
    corners = np.argwhere((picture[: -height + 1, : -width + 1] == patch[0, 0]).all(-1))
    return any((picture[y : y + height, x : x + width] == patch).all() for y, x in corners)


def test_pictures_keep_their_true_colours_and_whole_pixels():
    images = torch.tensor([[200, 30], [10, 250]], dtype=torch.uint8)
    images = torch.stack([images, images.flip(0), images.flip(1)])[None].repeat(1, 1, 8, 8)
    picture = pixels_of(show.gallery(images, title="one", dataset=TITLE))
    enlarged = images[0].permute(1, 2, 0).numpy().repeat(6, 0).repeat(6, 1)
    # Without the frame around the picture.
    assert contains(picture, enlarged[6:-6, 6:-6])


def test_float_and_grey_images_look_like_the_uint8_ones():
    grey = DATA.test.images[:2, :1]
    expected = pixels_of(show.gallery(grey.repeat(1, 3, 1, 1), title="two", dataset=TITLE))
    for same in (grey, grey.float() / 255):
        assert (pixels_of(show.gallery(same, title="two", dataset=TITLE)) == expected).all()


def test_normalised_images_are_refused():
    with pytest.raises(ValueError, match=r"run from -1\.00 to 0\.00.*undo the normalisation"):
        show.gallery(torch.zeros(2, 3, 8, 8) - torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), title="")
    with pytest.raises(ValueError, match=r"shape \(3, 8, 8\)"):
        show.gallery(torch.zeros(3, 8, 8), title="")
    with pytest.raises(ValueError, match="2 captions for 3 images"):
        show.gallery(DATA.test.images[:3], ["a", "b"], title="")


def test_samples_name_every_class_and_show_images_of_it():
    data = image_data(10, 16)
    figure = show.samples(data, per_class=2)
    assert texts_of(figure) == list(data.classes)
    shown = [image.get_array() for image in figure.axes[0].images]
    assert len(shown) == 20
    for place, image in enumerate(shown):  # a row holds one image of each class
        of_class = data.train.images[data.train.labels == place % 10]
        assert any((image == one.permute(1, 2, 0).numpy()).all() for one in of_class)


def test_samples_leave_room_where_a_class_has_few_images():
    data = image_data(4)
    few = ImageSet(data.train.images[:5], torch.tensor([0, 0, 0, 1, 3]))
    figure = show.samples(ImageData(TITLE, few, data.test, CLASSES, data.mean, data.std))
    assert len(figure.axes[0].images) == 5


def test_samples_of_many_classes_say_how_many_are_shown():
    figure = show.samples(image_data(100, 16, 100))
    assert len(figure.axes[0].images) == 18
    assert "18 of them" in title_of(figure)


def test_augmentations_stand_beside_their_original():
    figure = show.augmentations(DATA, lambda x: x.flip(3), indices=[3, 7], copies=4)
    shown = [image.get_array() for image in figure.axes[0].images]
    assert len(shown) == 2 * 5
    for row, index in enumerate((3, 7)):
        original = DATA.train.images[index].permute(1, 2, 0).numpy()
        assert (shown[5 * row] == original).all()
        assert all((copy == original[:, ::-1]).all() for copy in shown[5 * row + 1 : 5 * row + 5])
    given = DATA.train.images[[3, 7]].flip(3)[:, None].repeat(1, 4, 1, 1, 1)
    again = show.augmentations(DATA, given, indices=[3, 7])
    assert (pixels_of(again) == pixels_of(figure)).all()


def test_augmentations_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="No image 40; the train set has 0 to 39"):
        show.augmentations(DATA, lambda x: x, indices=[40])
    with pytest.raises(ValueError, match="belong to 1 images, but 2 were chosen"):
        show.augmentations(DATA, lambda x: x[:1], indices=[1, 2])


def test_misclassified_shows_the_mistakes_surest_first():
    logits = logits_for(DATA, {0: 1, 6: 3})
    logits[6] *= 2  # surer
    figure = show.misclassified(DATA, logits, norm="batch")
    first, second = (float(torch.softmax(logits[i], 0).max()) * 100 for i in (6, 0))
    texts = texts_of(figure)
    assert texts[0].startswith("true: a class with")
    assert texts[0].endswith("…")
    assert texts[1:] == [
        rf"said: \$5 or \$9 {first:.0f} %",
        "true: cat",
        f"said: dog {second:.0f} %",
    ]
    assert "2 of 24 test images misclassified by BatchNorm" in title_of(figure)
    shown = [image.get_array() for image in figure.axes[0].images]
    assert (shown[0] == DATA.test.images[6].permute(1, 2, 0).numpy()).all()
    least = show.misclassified(DATA, logits, order="unsure")
    assert texts_of(least)[:2] == ["true: cat", f"said: dog {second:.0f} %"]


def test_log_probabilities_give_the_same_confidence_as_logits():
    logits = logits_for(DATA, {0: 1, 6: 3}) + torch.randn(24, 4)
    first, second = (show.misclassified(DATA, x) for x in (logits, logits.log_softmax(1)))
    assert texts_of(first) == texts_of(second)


@pytest.mark.parametrize("draw", [show.misclassified, show.confusion, show.class_accuracy])
def test_logits_that_do_not_fit_are_refused(draw):
    with pytest.raises(ValueError, match=r"shape \(23, 4\).*24 images and 4 classes"):
        draw(DATA, torch.zeros(23, 4))
    with pytest.raises(ValueError, match=r"shape \(24, 3\)"):
        draw(DATA, torch.zeros(24, 3))
    with pytest.raises(ValueError, match="NaN"):
        draw(DATA, torch.full((24, 4), torch.nan))
    with pytest.raises(ValueError, match="Unknown subset 'valid'; choose train or test"):
        draw(DATA, torch.zeros(24, 4), subset="valid")


# --- training -------------------------------------------------------------------------------------


def test_seeds_of_a_norm_share_its_colour_as_mean_and_band():
    figure = show.curves(RUNS, ["accuracy"])
    axes = figure.axes[0]
    test_lines = {line.get_label(): line for line in axes.lines if line.get_marker() != ""}
    for norm, base in (("batch", 72), ("group", 67)):
        line = test_lines[theme.LABELS[norm]]
        assert to_hex(line.get_color()).upper() == theme.COLOURS[norm]
        assert line.get_marker() == theme.MARKERS[norm]
        assert line.get_ydata()[-1] == pytest.approx(base)
    assert len(axes.collections) == 4  # a band for training and test of two norms
    heights = axes.collections[1].get_paths()[0].vertices[:, 1]  # batch, test
    assert (heights.min(), heights.max()) == (pytest.approx(61), pytest.approx(73))
    assert "BatchNorm, mean of 3 seeds" in legend_of(figure)
    assert "lowest to highest seed" in legend_of(figure)
    assert "train: running, augmented, while weights move" in legend_of(figure)


def test_the_band_can_be_one_standard_deviation():
    figure = show.curves(RUNS, ["accuracy"], spread="sd")
    heights = figure.axes[0].collections[1].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(72 + np.std([71, 72, 73], ddof=1))
    assert "mean ± sd over seeds" in legend_of(figure)


def test_one_run_has_no_band():
    figure = show.curves(history())
    assert not figure.axes[0].collections
    assert legend_of(figure)[0] == "BatchNorm"
    assert not any("seed" in text for text in legend_of(figure))


def test_runs_of_one_norm_can_be_told_apart():
    runs = [history("group", groups=g) for g in (1, 4, 16)]
    figure = show.curves(runs, group_by=lambda run: f"{run.groups} groups", train=False)
    lines = figure.axes[0].lines
    assert [line.get_label() for line in lines] == ["1 groups", "4 groups", "16 groups"]
    assert len({line.get_color() for line in lines}) == 3
    assert to_hex(lines[1].get_color()).upper() == theme.COLOURS["group"]


def test_runs_on_several_data_sets_or_in_quick_mode_say_so():
    runs = [history(), history(dataset="shapes", quick=True)]
    assert title_of(show.curves(runs)).startswith(f"{TITLE} and shapes – quick mode: ")


@pytest.mark.parametrize("draw", [show.curves, show.comparison])
def test_empty_histories_are_refused_with_a_way_out(draw):
    with pytest.raises(ValueError, match=r"no histories to draw; train a network .*History\.load"):
        draw([])
    with pytest.raises(ValueError, match="history of group, seed 7, holds no epoch yet"):
        draw([history(), history("group", seed=7, epochs=0)])


def test_unknown_metric_spread_and_value_are_refused():
    with pytest.raises(ValueError, match="Unknown metric 'f1'; choose from accuracy, loss"):
        show.curves(RUNS, ["f1"])
    with pytest.raises(ValueError, match="Unknown spread 'iqr'; choose range or sd"):
        show.curves(RUNS, spread="iqr")
    with pytest.raises(ValueError, match="Unknown value 'f1'; choose test_accuracy"):
        show.comparison(RUNS, "f1")
    with pytest.raises(ValueError, match="Name the value"):
        show.comparison(RUNS, lambda run: 1.0)
    with pytest.raises(ValueError, match="batch, seed 1, holds no train_accuracy"):
        show.comparison([history(train_accuracy=None)], "train_accuracy")


def test_comparison_shows_mean_spread_and_every_seed():
    figure = show.comparison(RUNS)
    assert texts_of(figure) == ["72.00 ± 1.00", "67.00 ± 1.00"]
    axes = figure.axes[0]
    ticks = [line for line in axes.lines if line.get_marker() == "|" and len(line.get_xdata()) == 3]
    assert [sorted(line.get_xdata()) for line in ticks] == [[71, 72, 73], [66, 67, 68]]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "BatchNorm\n44,970 parameters, 3 seeds"
    assert "does not start at 0" in axes.get_xlabel()


def test_comparison_of_networks_keeps_the_norms_apart():
    runs = [history(n, network=w) for w in ("course", "plain-18k") for n in ("layer", "batch")]
    figure = show.comparison(runs, lambda run: 3.0, label="wishes in pieces")
    assert len(texts_of(figure)) == 4
    assert legend_of(figure) == ["BatchNorm", "LayerNorm"]
    assert [t.get_text().split("\n")[0] for t in figure.axes[0].get_yticklabels()] == [
        "course",
        "plain-18k",
    ]


def test_slopes_join_the_means_of_each_norm_and_say_how_far_they_lie_apart():
    before = [history("batch", 1, 80.0), history("group", 1, 70.0), history("none", 1, 10.0)]
    after = [history("group", s, f) for s, f in ((1, 81.0), (2, 83.0))] + [
        history("batch", 1, 82.5)
    ]
    only_once = [history("batch", network="other"), history("group", network="other")]
    figure = show.slopes(before, after + only_once, ("old", "new"))
    (axes,) = figure.axes
    assert axes.get_xlabel() == "course"
    lines = [
        line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 2
    ]
    assert [list(line.get_ydata()) for line in lines] == [[80.0, 82.5], [70.0, 82.0]]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["old\n10.0 points apart", "new\n0.5 points apart"]
    assert legend_of(figure) == ["BatchNorm", "GroupNorm", "mean ± sd over seeds"]


def test_slopes_need_a_network_trained_both_ways_with_two_norms():
    with pytest.raises(ValueError, match="no networks trained in both ways"):
        show.slopes([history()], [history()], ("old", "new"))


def test_one_epoch_is_drawn_at_its_tick():
    axes = show.curves(history(epochs=1)).axes[0]
    assert [tick for tick in axes.get_xticks() if 0.5 <= tick <= 1.5] == [1]
    assert all(line.get_marker() not in ("", "None") for line in axes.lines)


# --- what networks answer -------------------------------------------------------------------------


def test_reliability_draws_each_bin_with_images_and_says_how_far_off():
    figure = show.reliability_diagram(SURE, dataset=TITLE)
    upper, lower = figure.axes
    assert [bar.get_height() for bar in upper.patches] == [50, 95]
    assert [bar.get_x() + bar.get_width() / 2 for bar in upper.patches] == pytest.approx(
        [50, 250 / 3]
    )
    assert [bar.get_height() for bar in lower.patches] == [0, 40, 60]
    assert "BatchNorm: calibration error 7.0 points, 1.0 too sure." in figure.alt


def test_disagreements_say_who_said_what_and_colour_what_is_right():
    figure = FIGURES["disagreements"]()
    axes = figure.axes[0]
    said = [(t.get_text(), t.get_color()) for t in axes.texts if t.get_text().endswith(" %")]
    assert [text.split()[0] for text, _ in said[:4]] == ["cat", "dog", "dog", "a"]
    assert [colour == RIGHT for _, colour in said] == [True, False, True, False, True, True]
    assert "cat: BatchNorm cat, no norm dog." in figure.alt


def test_evidence_has_the_full_colour_at_its_largest_and_none_where_it_is_nothing():
    image = np.full((4, 4, 3), 100, dtype=np.uint8)
    image[..., 0] = 200
    grey = glowing(image, np.zeros((2, 2)))
    assert (grey == round(0.299 * 200 + 0.701 * 100)).all()
    warm = glowing(image, np.array([[0.0, 5.0], [0.0, 0.0]]))
    assert (warm[:, 0][2:] == grey[0, 0]).all()
    assert warm[0, 3].tolist() == np.round(0.35 * 129.9 + 0.65 * HEAT).astype(int).tolist()
    assert (warm == glowing(image, np.array([[0.0, 1e-9], [0.0, 0.0]]))).all()


# --- mistakes -------------------------------------------------------------------------------------


def test_confusion_counts_by_hand():
    counts = show.confusion_counts([0, 0, 1, 2, 2, 2], torch.tensor([0, 1, 1, 0, 2, 2]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


def test_confusion_counts_refuse_what_is_out_of_range():
    with pytest.raises(ValueError, match="Predictions run from 0 to 3, but there are 3 classes"):
        show.confusion_counts([0, 1], [0, 3], 3)
    with pytest.raises(ValueError, match=r"\(2,\) labels and \(1,\) predictions"):
        show.confusion_counts([0, 1], [0], 3)


def test_confusion_has_one_unit_and_leaves_cells_of_nothing_empty():
    figure = show.confusion(DATA, logits_for(DATA, {0: 1, 4: 1, 2: 3}))
    matrix = np.asarray(figure.axes[0].images[0].get_array())
    assert matrix.sum(1) == pytest.approx([100] * 4)
    assert matrix[0, 1] == pytest.approx(100 * 2 / 6)
    assert matrix[2, 3] == pytest.approx(100 / 6)
    # Row by row: two of six cats and one of six of the third class were taken for something else.
    assert texts_of(figure) == ["66.7", "33.3", "100.0", "83.3", "16.7", "100.0"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][:2] == ["cat", "dog"]
    (bar,) = figure.axes[0].child_axes
    assert bar.get_ylabel() == "share of the true class in %"


def luminance(colour) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgba(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_every_number_of_a_confusion_matrix_can_be_read_on_its_colour(norm):
    data = image_data(10, 16, 10, 1000)
    wrong = {10 * image: image % 10 for image in range(95)}  # of class 0, in many shares
    wrong |= {10 * image + 1: 2 for image in range(30)} | {10 * image + 3: 4 for image in range(50)}
    axes = show.confusion(data, logits_for(data, wrong), norm=norm).axes[0]
    cells = axes.images[0].to_rgba(axes.images[0].get_array())
    for text in axes.texts:
        column, row = map(int, text.get_position())
        light = sorted(luminance(c) for c in (cells[row, column], text.get_color()))
        assert (light[1] + 0.05) / (light[0] + 0.05) >= 4.5
    assert len({text.get_color() for text in axes.texts}) == 2


def test_confusion_of_many_classes_lists_the_most_frequent_mistakes():
    data = image_data(20, 16, 40, 200)
    figure = show.confusion(data, logits_for(data, {0: 5, 20: 5, 40: 5, 1: 2}))
    names = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert names == ["class 0 → class 5", "class 1 → class 2"]
    assert [bar.get_width() for bar in figure.axes[1].patches] == pytest.approx([30, 10])


def test_class_accuracy_is_sorted_and_states_n():
    figure = show.class_accuracy(DATA, logits_for(DATA, {0: 1, 4: 1, 2: 3}), norm="layer")
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(
        [100, 100, 100 * 5 / 6, 100 * 4 / 6]
    )
    assert axes.get_yticklabels()[-1].get_text() == "cat"
    assert axes.get_xlabel() == "accuracy in % (n = 6 images of each class)"
    assert f"all images: {100 * 21 / 24:.1f}" in texts_of(figure)
    assert to_hex(axes.patches[0].get_facecolor()).upper() == theme.COLOURS["layer"]


def test_class_accuracy_states_unequal_numbers_and_leaves_out_empty_classes():
    labels = torch.tensor([0] * 5 + [1] * 3 + [3] * 2)
    test = ImageSet(DATA.test.images[:10], labels)
    data = ImageData(TITLE, DATA.train, test, CLASSES, DATA.mean, DATA.std)
    names = [
        label.get_text()
        for label in show.class_accuracy(data, logits_for(data)).axes[0].get_yticklabels()
    ]
    assert names == ["cat  (n = 5)", "dog  (n = 3)", r"\$5 or \$9  (n = 2)"]


def test_class_accuracy_of_100_classes_shows_the_best_and_the_worst():
    data = image_data(100, 16, 100, 300)
    wrong = {image: (image + 1) % 100 for image in range(100) if image % 2}
    figure = show.class_accuracy(data, logits_for(data, wrong))
    assert len(figure.axes[0].patches) == 30
    assert "best and worst 15 of 100 classes" in title_of(figure)
    assert figure.axes[0].patches[-1].get_width() == pytest.approx(200 / 3)


# --- which values are normalised together ---------------------------------------------------------


class OverChannels(nn.LayerNorm):
    """LayerNorm over C alone, on (N, C, H, W)."""

    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


SHAPE = (2, 4, 2, 3)
LAYERS = {
    "batch": nn.BatchNorm2d(4),
    "group": nn.GroupNorm(2, 4),
    "layer": nn.GroupNorm(1, 4),
    "layer_chw": nn.LayerNorm(SHAPE[1:]),
    "layer_c": OverChannels(4),
    "instance": nn.InstanceNorm2d(4),
}


@pytest.mark.parametrize("kind", show.SET_KINDS)
def test_sets_are_those_that_pytorch_normalises_together(kind):
    layer = LAYERS[kind].double().train()
    x = torch.randn(SHAPE, dtype=torch.float64)
    # An output depends on an input exactly where both are in one set.
    jacobian = torch.autograd.functional.jacobian(layer, x).reshape(x.numel(), x.numel())
    numbers = show.set_numbers(kind, SHAPE, groups=2).ravel()
    assert ((jacobian.abs() > 1e-9).numpy() == (numbers[:, None] == numbers[None])).all()


@pytest.mark.parametrize("kind", show.SET_KINDS)
def test_the_mask_is_where_a_change_is_felt(kind):
    layer = LAYERS[kind].double().train()
    x = torch.randn(SHAPE, dtype=torch.float64)
    position = (1, 2, 0, 1)
    changed = x.clone()
    changed[position] += 1
    felt = ((layer(x) - layer(changed)).abs() > 1e-9).numpy()
    assert (felt == show.set_mask(kind, SHAPE, 2, position)).all()


@pytest.mark.parametrize(
    ("kind", "size", "sets"),
    [
        ("batch", 36, 6),
        ("group", 18, 12),
        ("layer", 54, 4),
        ("layer_chw", 54, 4),
        ("layer_c", 6, 36),
        ("instance", 9, 24),
    ],
)
def test_size_and_number_of_the_sets(kind, size, sets):
    numbers = show.set_numbers(kind, (4, 6, 3, 3), groups=3)
    assert np.bincount(numbers.ravel()).tolist() == [size] * sets


@pytest.mark.parametrize("kind", show.SET_KINDS)
def test_the_axes_figure_highlights_exactly_the_set_of_x(kind):
    figure = show.axes_figure([kind], 2, 4, 2, 3, 2, position=(1, 2, 0, 1))
    (cells,) = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    family = {"layer_chw": "layer", "layer_c": "layer", "instance": "group"}.get(kind, kind)
    full = np.array(to_rgba(theme.COLOURS[family]))
    bright = np.isclose(cells.get_facecolor(), full).all(1)
    mask = show.set_mask(kind, SHAPE, 2, (1, 2, 0, 1))
    assert (bright == mask.ravel()).all()
    # Each square lies in its image's row and its channel's column; the dot in its square.
    corners = np.array([path.vertices[:4] for path in cells.get_paths()]).reshape(*SHAPE, 4, 2)
    assert (np.diff(corners[..., 0, 0].mean((0, 2, 3))) > 3).all()
    assert (np.diff(corners[..., 0, 1].mean((1, 2, 3))) > 2).all()
    dot = figure.axes[0].lines[0].get_xydata()[0]
    square = corners[1, 2, 0, 1]
    assert (square.min(0) < dot).all()
    assert (dot < square.max(0)).all()
    assert f"{mask.sum()}$ values" in texts_of(figure)[0]


@pytest.mark.parametrize("kind", show.SET_KINDS)
def test_neighbouring_sets_have_different_tints(kind):
    numbers = show.set_numbers(kind, (3, 4, 3, 3), 2)
    figure = show.axes_figure([kind], 3, 4, 3, 3, 2)
    colours = figure.axes[0].collections[0].get_facecolor().reshape(3, 4, 3, 3, 4)
    for axis in range(4):
        near, far = (np.delete(numbers, at, axis) for at in (-1, 0))
        differ = (np.delete(colours, -1, axis) != np.delete(colours, 0, axis)).any(-1)
        assert differ[near != far].all()


def test_values_put_the_mean_and_spread_of_each_set_below():
    figure = show.axes_figure(("batch",), values=TENSOR, position=(0, 2, 0, 0))
    chart = figure.axes[1]
    middles = [line.get_ydata()[0] for line in chart.lines if line.get_marker() == "o"]
    assert middles == pytest.approx(TENSOR.mean((0, 2, 3)).tolist(), abs=1e-5)
    of_x = TENSOR[:, 2]
    assert f"{of_x.mean():.2f}" in chart.get_title()
    assert f"{of_x.std(unbiased=False):.2f}" in chart.get_title()


def test_parameters_of_the_three_layer_norms_are_those_of_pytorch():
    figure = show.axes_figure(("layer", "layer_chw", "layer_c"), 2, 4, 2, 3)
    for text, kind in zip(texts_of(figure), ("layer", "layer_chw", "layer_c"), strict=True):
        count = sum(p.numel() for p in LAYERS[kind].parameters())
        assert f"= {count}$ parameters" in text


def test_sets_refuse_bad_input():
    with pytest.raises(ValueError, match=r"Unknown kind 'none'; choose one of batch, group"):
        show.axes_figure(["none"])
    with pytest.raises(ValueError, match=r"4 groups do not divide 6 channels; choose.* 1, 2, 3, 6"):
        show.axes_figure(groups=4)
    with pytest.raises(ValueError, match="all 1 or more"):
        show.set_numbers("batch", (0, 1, 1, 1))
    with pytest.raises(ValueError, match="not inside the shape"):
        show.set_mask("batch", (1, 1, 1, 1), position=(0, 1, 0, 0))
    with pytest.raises(ValueError, match=r"expected \(4, 6, 3, 3\)"):
        show.axes_figure(values=torch.zeros(1, 6, 3, 3))
    with pytest.raises(ValueError, match="no kinds to draw"):
        show.axes_figure([])


# --- inside a network, and general charts ---------------------------------------------------------


def test_histograms_state_the_mean_and_spread_of_each_channel():
    before = torch.randn(16, 3, 8, 8) * 3 - 5
    figure = show.activation_histograms(
        before, nn.BatchNorm2d(3)(before), norm="batch", dataset=TITLE, channels=(0, 2)
    )
    assert len(figure.axes) == 2
    for axes, channel in zip(figure.axes, (0, 2), strict=True):
        name, first, second = axes.get_title().split("\n")
        values = before[:, channel]
        mean, spread = values.mean().item(), values.std(unbiased=False).item()
        assert name == f"channel {channel}"
        assert first == f"before: −{-mean:.2f} ± {spread:.2f}"
        assert second == "after: 0.00 ± 1.00"
    with pytest.raises(ValueError, match=r"No channel 3; there are 3 \(0 to 2\)"):
        show.activation_histograms(before, before, norm="batch", dataset=TITLE)
    with pytest.raises(ValueError, match="both must be one"):
        show.activation_histograms(before, before[:1], norm="batch", dataset=TITLE)


def test_running_statistics_draw_what_they_are_given():
    mean, running, var, running_var = (torch.rand(50, 4) for _ in range(4))
    figure = show.running_statistics(mean, running, var, running_var, dataset=TITLE, channel=3)
    given = [(mean, running), (var, running_var)]
    for axes, (batch, average) in zip(figure.axes, given, strict=True):
        assert axes.lines[0].get_ydata() == pytest.approx(batch[:, 3].numpy())
        assert axes.lines[1].get_ydata() == pytest.approx(average[:, 3].numpy())
        # 0.9 to the power of 43 is 0.011, to that of 44 it is 0.0097.
        assert list(axes.lines[2].get_xdata()) == [44, 44]
    with pytest.raises(ValueError, match="all must be one"):
        show.running_statistics(mean, running, var, running_var[:3], dataset=TITLE)


def test_the_gradient_loses_its_least_squares_line():
    x_hat = torch.randn(500)
    x_hat = (x_hat - x_hat.mean()) / x_hat.std(correction=0)
    rest = torch.randn(500)
    rest = rest - rest.mean() - x_hat * (rest * x_hat).mean()
    figure = show.removed_gradient(x_hat, 2 + 3 * x_hat + rest, rest, dataset=TITLE)
    ends = np.array([x_hat.min(), x_hat.max()])
    for axes, line in zip(figure.axes, (2 + 3 * ends, 0 * ends), strict=True):
        assert axes.lines[1].get_ydata() == pytest.approx(line, abs=1e-4)
    assert "the line holds 0% of the squares" in figure.alt
    with pytest.raises(ValueError, match="sizes differ"):
        show.removed_gradient(x_hat, rest, rest[:9], dataset=TITLE)


def test_guides_are_lines_to_compare_with_on_readable_ticks():
    guides = {"guide": [1, 0.5, 0.25]}
    words = {"xlabel": "x", "ylabel": "y", "title": "lines", "dataset": TITLE, "yscale": "log"}
    figure = show.line_figure([1, 4, 16], {"measured": [0.6, 0.3, 0.15]}, guides=guides, **words)
    (axes,) = figure.axes
    assert list(axes.lines[1].get_ydata()) == guides["guide"]
    assert axes.lines[1].get_label() == "guide"
    ticks = axes.yaxis.get_major_formatter().format_ticks(axes.get_yticks())
    assert {"0.1", "0.2", "0.5", "1"} <= set(ticks)


def test_affine_parameters_show_every_value_and_the_median():
    gamma, beta = torch.rand(9), torch.rand(1, 3, 3)
    figure = show.affine_parameters({"norm 1": (gamma, beta)}, norm="batch", dataset=TITLE)
    for axes, values in zip(figure.axes, (gamma, beta.ravel()), strict=True):
        points, median = axes.lines[1:]
        assert sorted(points.get_ydata()) == pytest.approx(sorted(values.tolist()))
        assert median.get_ydata()[0] == pytest.approx(values.median().item())
    with pytest.raises(ValueError, match="no layers to draw"):
        show.affine_parameters({}, norm="batch", dataset=TITLE)


def lines(x, values, **changes):
    words = {"xlabel": "x", "ylabel": "y", "title": "t", "dataset": TITLE}
    return show.line_figure(x, values, **words | changes)


def test_lines_of_norms_have_their_colours_and_rows_a_band():
    rows = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    figure = lines(["a", "b"], {"batch": rows, "other": [0, 1]}, rows="batches")
    first, second = figure.axes[0].lines
    assert to_hex(first.get_color()).upper() == theme.COLOURS["batch"]
    assert first.get_ydata().tolist() == [2, 4]
    assert second.get_color() not in theme.COLOURS.values()
    assert legend_of(figure) == [
        "BatchNorm, mean of 2 batches",
        "other",
        "band: lowest to highest of the batches",
    ]


def test_lines_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"line 'batch' has the shape \(1, 3\); x has 2 values"):
        lines([1, 2], {"batch": [1, 2, 3]})
    with pytest.raises(ValueError, match="no lines to draw"):
        lines([1, 2], {})
    with pytest.raises(ValueError, match="Unknown scales 'cubic'"):
        lines([1, 2], {"batch": [1, 2]}, xscale="cubic")


def test_bars_start_at_zero():
    figure = show.bar_figure(
        {"GroupNorm(1, C)": 32, "LayerNorm([C, H, W])": 32_768}, xlabel="parameters",
        title="what they cost", dataset="", norm="layer", notes={"GroupNorm(1, C)": "small"},
    )  # fmt: skip
    assert texts_of(figure) == ["32  small", "32,768"]
    assert figure.axes[0].get_xlim()[0] == 0
    assert title_of(figure) == "What they cost"
    with pytest.raises(ValueError, match="starts at zero"):
        show.bar_figure({"a": -1.0}, xlabel="x", title="t", dataset="")


# --- the palette ----------------------------------------------------------------------------------

# Machado, Oliveira and Fernandes (2009): what linear RGB becomes without one kind of cones.
COLOUR_BLIND = {
    "none": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgba(colour)[:3])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB, in which a distance of 2 is just seen."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.clip(to_xyz @ rgb, 1e-3, None) / (0.9505, 1, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", COLOUR_BLIND)
def test_the_norms_colours_stay_apart_for_colour_blind_readers(kind):
    seen = {
        norm: lab(np.clip(np.array(COLOUR_BLIND[kind]) @ linear(colour), 0, 1))
        for norm, colour in theme.COLOURS.items()
    }
    for first, second in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[first] - seen[second]) > 30, (first, second)


def test_the_norms_colours_stand_out_on_white():
    for colour in theme.COLOURS.values():
        luminance = np.dot(linear(colour), (0.2126, 0.7152, 0.0722))
        assert 1.05 / (luminance + 0.05) >= 3  # WCAG 2.1, graphical objects
        luminance = np.dot(linear(theme.ink(colour)), (0.2126, 0.7152, 0.0722))
        assert 1.05 / (luminance + 0.05) >= 4.5  # small print


def test_each_norm_has_its_own_marker_and_name():
    for table in (theme.MARKERS, theme.LABELS, theme.COLOURS):
        assert set(table) == {"batch", "group", "layer", "none"}
        assert len(set(table.values())) == 4


def test_tints_and_shades():
    assert theme.mix("#0072B2", 0) == "#FFFFFF"
    assert theme.mix("#0072B2", 1) == "#0072B2"
    assert theme.shades("#0072B2", 1) == ["#0072B2"]
    light, middle, dark = theme.shades("#0072B2", 3)
    assert middle == "#0072B2"
    assert linear(light).sum() > linear(middle).sum() > linear(dark).sum()
    with pytest.raises(ValueError, match="from 0 to 1"):
        theme.mix("#0072B2", 2)
