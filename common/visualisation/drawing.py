"""What every figure of the course is drawn with: style, titles, pictures laid out by the pixel.

The figures themselves are in ``common.visualisation``.
"""

from __future__ import annotations

import base64
import bisect
import functools
import html
import io
import itertools
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from PIL import Image

from common.files import replacing
from common.visualisation import theme

WIDTH = 9.5  # inches: the width of a notebook's output at 100 dots an inch
DPI = 100  # in a notebook
SHARP = 2  # pixels of a picture to one of the page: good screens and projectors have as many
SHARP_DPI = SHARP * DPI  # a whole multiple keeps the pixels of pictures whole
READABLE = 640  # pixels: a narrower window scrolls, for the smallest print would get too small
NARROW = 76  # columns of text: what any notebook shows that is 900 pixels wide
SMALL = 9  # points: the smallest print of any figure
TITLE = 13  # points
FAINT = "#666666"  # secondary text; 5.7 : 1 on white, so still easy to read
GAP = 0.07  # inches between two pictures
LINE = 0.155  # inches from one small line of print to the next
CHART_COLOURS = 64  # of a chart in a notebook: no eye misses the others, and the file is smaller
SMALL_COLOURS = 256  # of the small picture that is there for LaTeX: it has blended edges

# Around a figure in a notebook: white paper of its own, with room to the text on a dark page.
_FRAME = "overflow-x:auto;margin:8px 0"
_FIT = (
    "display:block;box-sizing:content-box;height:auto;padding:8px;background:#fff;"
    f"max-width:max(100% - 16px,{READABLE}px)"
)


@contextmanager
def style() -> Iterator[None]:
    """The course's look for everything drawn inside, whatever the reader's own settings are."""
    with matplotlib.style.context(theme.STYLE, after_reset=True):
        yield


Drawing = TypeVar("Drawing", bound=Callable[..., Figure])


def styled(function: Drawing) -> Drawing:
    """Run a function that makes a figure in the course's style."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Figure:
        with style():
            return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


class Picture(Figure):
    """A matplotlib figure that a notebook shows exactly once, with a text for screen readers.

    A figure that pyplot made is shown by pyplot at the end of the cell and a second time as the
    cell's value, and stays in memory until it is closed. pyplot never hears of this one: it is
    shown as a cell's value or with ``display(figure)``, and goes when the last name for it goes.

    Front ends take an HTML output before any other, and read a text for screen readers nowhere
    else. What cannot show HTML (LaTeX, and so PDF) takes the PNG, small and half as sharp.
    """

    alt = ""
    photographic = False

    def draw(self, renderer: Any) -> None:
        """Draw in the course's style: matplotlib makes ticks only now, from the settings of now."""
        with style():
            super().draw(renderer)

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """What a notebook shows: the picture and the text that stands for it, by MIME type."""
        image = _raster(self)
        small = image.reduce(SHARP)
        width, height = small.size
        sharp = image if self.photographic else _with_colours(image, CHART_COLOURS)
        bundle = {
            "text/html": (
                f'<div style="{_FRAME}"><img alt="{html.escape(self.alt)}" width="{width}" '
                f'height="{height}" style="{_FIT}" src="data:image/webp;base64,'
                f'{_base64(sharp.convert("RGB"), "webp", lossless=True, method=4)}"></div>'
            ),
            "image/png": _base64(_with_colours(small, SMALL_COLOURS), "png", optimize=True),
            "text/plain": repr(self),
        }
        return bundle, {"image/png": {"alt": self.alt}}

    def _ipython_display_(self) -> None:
        # The one hook that comes before the way of showing figures that pyplot, once it is used,
        # sets up for every matplotlib figure: larger files, and no text for screen readers.
        from IPython.display import display

        data, metadata = self._repr_mimebundle_()
        display(data, metadata=metadata, raw=True)


def encode(figure: Figure, kind: str) -> bytes:
    """The figure as a file's bytes, free of dates and versions.

    A PNG of a chart is reduced to the 256 colours that suit it best, a third of the size. One that
    shows pictures keeps all its colours.
    """
    if kind != "png":
        return _printed(figure, kind)
    image = _raster(figure)
    if not getattr(figure, "photographic", True):
        image = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return _packed(image, "png", optimize=True)


def _printed(figure: Figure, kind: str) -> bytes:
    """The figure as matplotlib writes it, without the date and the version."""
    nothing = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=kind, dpi=SHARP_DPI, metadata=nothing[kind])
    return buffer.getvalue()


def _raster(figure: Figure) -> Image.Image:
    return Image.open(io.BytesIO(_printed(figure, "png"))).convert("RGB")


def _with_colours(image: Image.Image, count: int) -> Image.Image:
    # By how far apart colours are, not how frequent: a scale's dark end may be a few pixels.
    widest = Image.Quantize.MAXCOVERAGE
    return image.quantize(count, widest, kmeans=1, dither=Image.Dither.NONE)


def _packed(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _base64(image: Image.Image, kind: str, **options: Any) -> str:
    return base64.b64encode(_packed(image, kind, **options)).decode("ascii")


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure to ``path`` (``.png``, ``.svg`` or ``.pdf``), making folders as needed.

    The same figure gives the same bytes with the same matplotlib: no date and no version is
    written. A reader never sees half a file. Raises ``ValueError`` for any other kind of file, and
    ``OSError`` where it cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(
            f"Cannot save a figure as {path.name!r}; use a name in .png, .svg or .pdf."
        )
    content = encode(figure, kind)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def plain(text: object) -> str:
    """``text`` as it is: a ``$`` in a class's or a folder's name starts no formula."""
    return str(text).replace("$", r"\$")


def heading(dataset: str, words: str) -> str:
    """A figure's title: the data set first, in short, then what is shown."""
    dataset = dataset.replace("(JPEG copy)", "(JPEG)")  # said in full where the images are loaded
    return f"{dataset}: {words}" if dataset else words[:1].upper() + words[1:]


def lines_of(title: str) -> list[str]:
    """The title, broken to fit a figure's width."""
    return textwrap.wrap(title, 88)


def start(title: str, height: float, alt: str = "", width: float = WIDTH) -> Picture:
    """An empty figure, ``height`` inches high without its title, with the title at top left."""
    lines = lines_of(title)
    figure = Picture(figsize=(width, height + 0.24 * len(lines) + 0.1), dpi=DPI)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    figure.suptitle(plain("\n".join(lines)), x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    figure.alt = f"{title}. {alt}".strip()
    return figure


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float = SMALL) -> float:
    """How wide ``text`` is printed, in inches; with room for letters set on whole pixels."""
    if not text.strip():
        return 0.0
    return 1.06 * TextPath((0, 0), plain(text), size=size).get_extents().width / 72


def shorten(text: str, width: float, size: float = SMALL) -> str:
    """``text``, cut with an ellipsis where it is wider than ``width`` inches."""
    text = " ".join(str(text).split()) or "–"
    if text_width(text, size) <= width:
        return text
    # Longer beginnings are wider, so the longest that fits is found by halving.
    keep = bisect.bisect(
        range(2, len(text)), width, key=lambda n: text_width(text[:n].rstrip() + "…", size)
    )
    return text[: keep + 1].rstrip() + "…"


def as_array(values: Any) -> np.ndarray:
    """A tensor on any device, a list or an array, as a numpy array of the same shape."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy knows no bfloat16.
        values = values.float() if values.is_floating_point() else values
        return values.numpy()
    return np.asarray(values)


def pictures(images: Any) -> np.ndarray:
    """Images ``(N, 3, H, W)`` or grey ``(N, 1, H, W)`` as uint8 ``(N, H, W, 3)``.

    They are uint8 or float in [0, 1]. Raises ``ValueError`` for any other shape, and for floats
    outside [0, 1].
    """
    array = as_array(images)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise ValueError(
            f"Images have the shape {array.shape}; allowed are (N, 3, H, W) and (N, 1, H, W)."
        )
    if array.dtype != np.uint8:
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"Float images run from {low:.2f} to {high:.2f}; give uint8 images or floats in "
                "[0, 1] (undo the normalisation: x * std + mean)."
            )
        array = np.round(array * 255).astype(np.uint8)
    return np.repeat(array, 3 // array.shape[1], axis=1).transpose(0, 2, 3, 1)


def signed(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, and no sign at zero."""
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) else text


class Note(str):
    """A sentence that a notebook shows as it is, without quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        # Else a notebook breaks lines in the middle of a word.
        indent = "  " if self.startswith(("○", "●")) else ""
        return textwrap.fill(self, NARROW, subsequent_indent=indent)


@dataclass(frozen=True)
class Tile:
    """One picture ``(H, W, 3)`` of a sheet, with lines of small print below.

    A line is (text, end, colour): where both are too wide, the text is cut and never the end.
    """

    image: np.ndarray | None
    lines: tuple[tuple[str, str, str], ...] = ()
    frame: str = "#CCCCCC"


def sheet(
    tiles: Sequence[Tile],
    columns: int,
    title: str,
    alt: str = "",
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> Picture:
    """Pictures in rows, each pixel of theirs drawn as a whole number of pixels where that fits.

    ``row_labels`` are printed left of the rows, ``column_labels`` above the columns; a tile
    without an image stays empty.
    """
    shapes = [tile.image.shape for tile in tiles if tile.image is not None]
    height_px, width_px = shapes[0][:2]
    rows = math.ceil(len(tiles) / columns)
    margin = 0.1
    left = min(1.7, max(map(lambda t: text_width(t, 10), row_labels), default=-0.1) + 0.12)
    step = (WIDTH - 2 * margin - left) / columns
    scale = (step - GAP) * DPI / width_px
    scale = min(math.floor(scale) if scale >= 1 else scale, max(1, 130 // height_px))
    if not row_labels:  # keep small pictures together, but leave room for the print below them
        step = max(min(step, scale * width_px / DPI + 4 * GAP), min(step, 1.15))
    wide, high = scale * width_px / DPI, scale * height_px / DPI
    print_lines = max(len(tile.lines) for tile in tiles)
    row_height = high + GAP + (print_lines * LINE + 0.09 if print_lines else 0)

    above = 0.2 if column_labels else 0.0

    figure = start(title, rows * row_height + above + 0.1, alt)
    figure.set_layout_engine("none")
    figure.photographic = True
    total = figure.get_figheight()
    top = total - rows * row_height - 0.05
    axes = figure.add_axes((0, 0, 1, 1))
    for column, label in enumerate(column_labels):
        axes.text(
            margin + left + column * step + wide / 2,
            top - 0.07,
            plain(shorten(label, step - 0.04, 10)),
            ha="center",
            fontsize=10,
        )
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        x, y = margin + left + column * step, top + row * row_height
        # Whole pixels again, or the edges of the pictures blur.
        x, y = round(x * DPI) / DPI, round(y * DPI) / DPI
        if column == 0 and row_labels and row_labels[row]:
            axes.text(
                x - 0.12,
                y + high / 2,
                plain(shorten(row_labels[row], left - 0.12, 10)),
                ha="right",
                va="center",
                fontsize=10,
            )
        if tile.image is None:
            continue
        _place(axes, tile.image, (x, y, wide, high), tile.frame)
        for line, (text, end, colour) in enumerate(tile.lines):
            axes.text(
                x,
                y + high + 0.15 + line * LINE,
                plain(shorten(text, step - 0.14 - text_width(end)) + end),
                color=colour,
                fontsize=SMALL,
                va="baseline",  # else lines with and without descenders stand at two heights
            )
    axes.set(xlim=(0, WIDTH), ylim=(total, 0), aspect="auto")
    axes.axis("off")
    return figure


def _place(axes: Axes, image: np.ndarray, box: tuple[float, ...], frame: str) -> None:
    """Draw one picture in ``box`` = (left, top, width, height), in inches."""
    x, y, wide, high = box
    shrinks = image.shape[1] > wide * DPI
    axes.imshow(
        image,
        extent=(x, x + wide, y + high, y),
        interpolation="antialiased" if shrinks else "nearest",
    )
    line = 0.6 if frame == Tile.frame else 2.0
    axes.add_patch(Rectangle((x, y), wide, high, fill=False, edgecolor=frame, linewidth=line))


@dataclass(frozen=True)
class Look:
    """How one line, bar or row of points is drawn."""

    label: str
    colour: str
    marker: str
    dashes: Any = "-"


DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


def looks(names: Sequence[str], norm: str | None = None) -> dict[str, Look]:
    """A look for each name: a norm's own where the name is one, else shades of ``norm``'s colour.

    Without ``norm`` the other names get the colours that no norm has.
    """
    family = theme.shades(theme.COLOURS[norm], len(names)) if norm in theme.COLOURS else []
    markers = [theme.MARKERS[norm], *theme.OTHER_MARKERS] if family else theme.OTHER_MARKERS
    result = {}
    for i, name in enumerate(names):
        if name in theme.COLOURS:
            look = Look(theme.LABELS[name], theme.COLOURS[name], theme.MARKERS[name])
        else:
            colours = family or theme.OTHER_COLOURS
            look = Look(
                str(name),
                colours[i % len(colours)],
                markers[i % len(markers)],
                DASHES[i % len(DASHES)] if family else "-",
            )
        result[name] = look
    return result


def legends(figure: Figure, *rows: Sequence[Line2D]) -> None:
    """Legends below the panels, one under the other; the figure grows by their height.

    matplotlib's layout would draw two legends outside the axes on top of each other.
    """
    bottom, places = 0.04, []
    for handles in reversed([row for row in rows if row]):
        widths = [text_width(handle.get_label(), 10) + 0.75 for handle in handles]
        columns = max(1, min(len(handles), math.floor((WIDTH - 0.3) / max(widths))))
        columns = len(handles) if sum(widths) <= WIDTH - 0.3 else columns
        columns = math.ceil(len(handles) / math.ceil(len(handles) / columns))  # even rows
        places.append((handles, columns, bottom))
        bottom += 0.235 * math.ceil(len(handles) / columns) + 0.03
    height = figure.get_figheight() + bottom
    figure.set_figheight(height)
    # Fixed by position: figure fractions, from inches.
    figure.get_layout_engine().set(rect=(0, bottom / height, 1, 1 - bottom / height))
    for handles, columns, low in reversed(places):
        figure.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, low / height),
            ncols=columns,
            borderaxespad=0,
            borderpad=0,
            labelspacing=0.4,
        )


def draw_marks(axes: Axes, marks: Mapping[str, float]) -> None:
    """Horizontal lines to compare with, each with its name at its right end, before other lines."""
    halo = [withStroke(linewidth=2.5, foreground="white", alpha=0.75)]
    for (name, y), dashes in zip(marks.items(), itertools.cycle(DASHES[1:]), strict=False):
        axes.axhline(y, color=FAINT, linestyle=dashes, linewidth=1.2, zorder=1)
        axes.annotate(
            plain(name), (1, y), (-2, 3), xycoords=("axes fraction", "data"), ha="right",
            textcoords="offset points", fontsize=SMALL, color=FAINT, path_effects=halo, zorder=4,
        )  # fmt: skip


def whole_numbers(axes: Axes) -> None:
    """Ticks of the x axis at whole numbers only."""
    axes.xaxis.get_major_locator().set_params(integer=True)


def some(things: Any, name: str) -> None:
    """Raise ``ValueError`` if there is nothing to draw."""
    if len(things) == 0:
        raise ValueError(f"There are no {name} to draw; give at least one.")


def band(values: np.ndarray, spread: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edge of a band over the rows of ``values``."""
    if spread == "range":
        return values.min(0), values.max(0)
    mean, deviation = values.mean(0), values.std(0, ddof=1)
    return mean - deviation, mean + deviation


def name_ticks(axes: Axes, names: Sequence[str]) -> None:
    """Names along the x axis, slanted where they would run into each other."""
    room = 8.3 / max(1, len(names))
    slanted = max(text_width(name, 10) for name in names) > room - 0.1
    every = math.ceil(0.2 / room) if slanted else 1
    shown = range(0, len(names), every)
    labels = [plain(shorten(names[i], 1.6, 10)) for i in shown]
    if slanted:
        axes.set_xticks(shown, labels, rotation=40, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(shown, labels)
