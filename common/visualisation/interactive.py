"""Figures to play with: sliders where a notebook is alive, elsewhere the same figure at rest.

Each function gives a cell one value to show. In a live notebook (JupyterLab, Notebook, nbclassic,
VS Code, Colab) that is the figure below its sliders. Where nobody could move them (nbconvert,
nbval, a plain script) it is the figure alone: so a notebook executed from the command line holds no
state of widgets, which GitHub stumbles over.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.frontends import front_end
from common.visualisation import theme
from common.visualisation.drawing import DASHES, FAINT, Picture, legends, signed, start, styled
from common.visualisation.sets import TALLEST, axes_figure

# The largest tensor to play with: beyond it the squares are too small to see.
LARGEST = {"N": 8, "C": 12, "H": 6, "W": 6}
BATCH_SIZES = (2, 4, 8, 16, 32, 64, 128, 256)

_LAYER_KINDS = (  # what the lesson on layer norm lets one choose between
    ("over C, H, W: one group", "layer"),
    ("over C, H, W: nn.LayerNorm([C, H, W])", "layer_chw"),
    ("over C alone, as in ConvNeXt", "layer_c"),
)


def play_with_sets(norm: str, *, live: bool | None = None) -> Any:
    """Which values of an (N, C, H, W) tensor share one mean, with the mean and spread of each set.

    norm: "batch", "group" or "layer". Sliders move N, C, H and W, for "group" the number of groups
    as well; "layer" offers its three readings.
    live: whether to show sliders; None means where a notebook can move them.

    Returns a figure, with sliders or without, to stand last in a cell. Raises ValueError for
    another norm.
    """
    if norm not in ("batch", "group", "layer"):
        raise ValueError(f"unknown norm {norm!r}: choose one of batch, group, layer")
    kind = norm
    if not is_live(live):
        return sets_figure(kind)

    import ipywidgets

    def slider(name: str, value: int) -> Any:
        return ipywidgets.IntSlider(
            value, 1, LARGEST[name], description=name, continuous_update=False
        )

    controls = {"n": slider("N", 4), "c": slider("C", 6), "h": slider("H", 3), "w": slider("W", 3)}
    if norm == "group":
        groups = ipywidgets.SelectionSlider(
            options=_divisors(6), value=3, description="groups", continuous_update=False
        )
        controls["groups"] = groups
        controls["c"].observe(lambda change: _offer(groups, _divisors(change["new"])), "value")
    if norm == "layer":
        kinds = ipywidgets.Dropdown(options=_LAYER_KINDS, description="S", layout={"width": "28em"})
        controls["kind"] = kinds

    def draw(kind: str = kind, groups: int = 1, **shape: int) -> Figure:
        # Between C and its list of divisors moving, groups may not fit for a moment.
        groups = groups if shape["c"] % groups == 0 else 1
        return sets_figure(kind, groups=groups, **shape)

    return Playground(draw, controls)


def play_with_batch_noise(*, live: bool | None = None) -> Any:
    """How far the mean and the variance of a batch scatter around those of all images.

    Sliders move the batch size and the size of the feature map.
    live: as in `play_with_sets`. Returns a figure, with sliders or without.
    """
    if not is_live(live):
        return batch_noise_figure()

    import ipywidgets

    batch_size = ipywidgets.SelectionSlider(
        options=BATCH_SIZES, value=8, description="N", continuous_update=False
    )
    size = ipywidgets.IntSlider(4, 1, 8, description="H = W", continuous_update=False)
    return Playground(batch_noise_figure, {"batch_size": batch_size, "size": size})


def play(
    draw: Callable[..., Figure],
    choices: Mapping[str, Sequence[Any]],
    start: Mapping[str, Any],
    *,
    live: bool | None = None,
) -> Any:
    """Any figure with sliders: ``draw(**values)``, with a value from each list of ``choices``.

    start: the values at rest, each one of its list.
    live: as in `play_with_sets`. Returns a widget or a figure, to stand last in a cell. Raises
    ValueError for a start that is not among the choices.
    """
    for name, options in choices.items():
        if start.get(name) not in options:
            listed = ", ".join(map(str, options))
            raise ValueError(f"{name} cannot start at {start.get(name)}: choose one of {listed}")
    if not is_live(live):
        return draw(**start)

    import ipywidgets

    controls = {
        name: ipywidgets.SelectionSlider(
            options=list(options), value=start[name], description=name, continuous_update=False
        )
        for name, options in choices.items()
    }
    return Playground(draw, controls)


# The figures


def sets_figure(
    kind: str, n: int = 4, c: int = 6, h: int = 3, w: int = 3, groups: int = 3
) -> Figure:
    """The axes figure of one norm with the mean and spread of each of its sets.

    kind and the other arguments as for `visualisation.axes_figure`. The values are made up: every
    image has a brightness of its own and every channel a level of its own.
    """
    values = _values()[:n, :c, :h, :w]
    # As high with every shape: what stands below must not jump while a slider moves.
    return axes_figure((kind,), n, c, h, w, groups, values=values, height=TALLEST)


@styled
def batch_noise_figure(batch_size: int = 8, size: int = 4) -> Figure:
    """Mean and variance of 200 batches of every batch size, those of `batch_size` in full colour.

    The values are made up: one channel of feature maps (N, 1, size, size) with mean 0 and variance
    1 over all images, a third of which is a brightness that all pixels of an image share. Dashed:
    how far the means would scatter if each image, or each pixel, were one independent value.
    Raises ValueError for a batch size that is not in BATCH_SIZES or a size below 1.
    """
    if batch_size not in BATCH_SIZES:
        sizes = ", ".join(map(str, BATCH_SIZES))
        raise ValueError(f"batch size {batch_size} is not drawn: choose one of {sizes}")
    if size < 1:
        raise ValueError(f"a feature map of size {size} is empty: choose 1 or more")
    means, variances = _batch_statistics(size)
    chosen = BATCH_SIZES.index(batch_size)
    title = f"Made-up values: means and variances of 200 batches of N images, {size}×{size} pixels"
    spread = f"At N = {batch_size} the means scatter by {means[chosen].std():.2f}"
    figure = start(title, 3.9, f"{spread}, the variances by {variances[chosen].std():.2f}.")
    left, right = figure.subplots(1, 2)
    _scatter(left, means, chosen, 0.0, r"mean of the batch, $\mu_c$")
    guides = {r"$\pm 1/\sqrt{N}$: one independent value an image": 1}
    guides[r"$\pm 1/\sqrt{NHW}$: every pixel independent"] = size
    for (name, by), dashes in zip(guides.items(), DASHES[1:], strict=False):
        expected = 1 / (by * np.sqrt(BATCH_SIZES))
        for sign in (1, -1):
            left.plot(
                range(len(expected)), sign * expected, color="black", linestyle=dashes,
                linewidth=1.2, label=name if sign == 1 else None, zorder=4,
            )  # fmt: skip
    _scatter(right, variances, chosen, 1.0, r"variance of the batch, $\sigma_c^2$")
    legends(figure, left.get_legend_handles_labels()[0])
    return figure


def _scatter(
    axes: Axes, statistics: Sequence[np.ndarray], chosen: int, truth: float, name: str
) -> None:
    """The statistic of each batch against the batch size."""
    colour = theme.COLOURS["batch"]
    generator = np.random.default_rng(1)
    for place, values in enumerate(statistics):
        jitter = generator.uniform(-0.32, 0.32, len(values))
        look = colour if place == chosen else theme.mix(colour, 0.3)
        axes.plot(place + jitter, values, ".", color=look, markersize=3.5, zorder=2)
        low, high = values.mean() - values.std(), values.mean() + values.std()
        ink = theme.ink(colour) if place == chosen else FAINT
        axes.vlines(place, low, high, color=ink, linewidth=2.5, zorder=3)
    axes.axhline(truth, color="black", linewidth=1, zorder=2.5)
    axes.set_xticks(range(len(BATCH_SIZES)), [str(n) for n in BATCH_SIZES])
    axes.set(xlabel="batch size N", ylabel=name, xlim=(-0.6, len(BATCH_SIZES) + 0.7))
    axes.annotate(
        "all\nimages", (1, truth), (0, 2), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", va="bottom", fontsize=9,
    )  # fmt: skip
    axes.set_title(
        f"N = {BATCH_SIZES[chosen]}: {signed(statistics[chosen].mean())} "
        f"± {statistics[chosen].std():.2f}",
        color=theme.ink(colour),
    )


# The made-up values


def _values() -> np.ndarray:
    """Values (N, C, H, W) as large as can be; smaller tensors are cut from their corner."""
    generator = np.random.default_rng(3)
    n, c, h, w = LARGEST.values()
    brightness = generator.normal(0, 0.7, (n, 1, 1, 1))
    level = generator.normal(0, 1.5, (1, c, 1, 1))
    spread = generator.uniform(0.3, 1.2, (1, c, 1, 1))
    return brightness + level + spread * generator.normal(0, 1, (n, c, h, w))


def _batch_statistics(size: int, batches: int = 200) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Mean and variance of `batches` batches of each size in BATCH_SIZES."""
    generator = np.random.default_rng(0)
    images = batches * max(BATCH_SIZES)
    shared = 1 / 3
    brightness = generator.normal(0, shared**0.5, (images, 1))
    pixels = brightness + generator.normal(0, (1 - shared) ** 0.5, (images, size * size))
    # A batch's mean and mean square are the averages of its images'.
    first, second = pixels.mean(1), np.square(pixels).mean(1)
    means, variances = [], []
    for n in BATCH_SIZES:
        mean = first[: batches * n].reshape(batches, n).mean(1)
        means.append(mean)
        variances.append(second[: batches * n].reshape(batches, n).mean(1) - mean**2)
    return means, variances


# Widgets


def is_live(live: bool | None) -> bool:
    """Whether to show widgets: as asked, else where ipywidgets and a front end are there."""
    if live is not None:
        return live
    return front_end() and importlib.util.find_spec("ipywidgets") is not None


# A widget cannot be shown once its kernel is gone: JupyterLab, Notebook and nbclassic then leave a
# message of their own, and no element, in its place. These words take the message's.
_GONE = "Run this cell, and its controls are back."
_RESTING = ", ".join(
    f"{output}:not(:has(*)){{part}}"
    for output in (".jp-OutputArea-output.jupyter-widgets", ".output_subarea.jupyter-widgets-view")
)
# To stand in the HTML that a cell shows along with its ``controls_bundle``.
CONTROLS_STYLE = (
    "<style>"
    + _RESTING.format(part="")
    + "{font-size:0}"
    + _RESTING.format(part="::after")
    + f'{{content:"{_GONE}";font-size:14px}}</style>'
)


def controls_bundle(widget: Any) -> dict[str, Any]:
    """What shows a widget, by MIME type; in a saved notebook a sentence says how it comes back."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/plain": _GONE}


class Playground:
    """Controls, and below them the figure that ``draw`` makes of their values.

    The figure is an output of its own that each move writes anew, so that a notebook, once saved,
    keeps the last one; a widget with the figure in it would leave nothing.
    """

    def __init__(self, draw: Callable[..., Picture], controls: Mapping[str, Any]) -> None:
        self.draw, self.controls, self.shown = draw, controls, None
        for control in controls.values():
            control.observe(self._redraw, "value")

    @property
    def figure(self) -> Picture:
        """As the controls stand."""
        return self.draw(**{name: control.value for name, control in self.controls.items()})

    def _bundle(self) -> dict[str, Any]:
        data, metadata = self.figure._repr_mimebundle_()
        data["text/html"] = CONTROLS_STYLE + data["text/html"]
        return {"data": data, "metadata": metadata}

    def _redraw(self, _: Any) -> None:
        if self.shown is not None:
            bundle = self._bundle()
            self.shown.update(bundle["data"], metadata=bundle["metadata"], raw=True)

    def _ipython_display_(self) -> None:
        import ipywidgets
        from IPython.display import display

        controls = list(self.controls.values())
        row = ipywidgets.HBox(controls, layout={"flex_flow": "row wrap"})
        display(controls_bundle(row), raw=True)
        bundle = self._bundle()
        self.shown = display(bundle["data"], metadata=bundle["metadata"], raw=True, display_id=True)


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def _offer(control: Any, options: list[int]) -> None:
    """Give a control other options, keeping its value where it still is one."""
    kept = max(option for option in options if option <= control.value)
    with control.hold_trait_notifications():
        control.options = options
        control.value = kept
