"""How the course's network was chosen: candidates, short runs, and a log of every one of them.

A candidate is a network as data, built from one of five kinds of block. Each run trains on a part
of the training images and is judged on 5,000 others, so the test images play no part in the choice.
The log (``LOG``) has a row a configuration, those stopped early and those that came out badly too:

``parameters``           a note says so where they are more than the course allows itself
``learning_rate``        its highest value during the run (one-cycle)
``validation_accuracy``  on the held-out images after the last epoch done, %
``train_accuracy``       running average over the last epoch's augmented batches, %
``cpu_seconds``          of one thread, with other processes beside it; empty where only the clock
                         was read, and then the notes have its time

Rows are on the validation split of CIFAR-10's JPEG copy unless their notes name another data set.
Those with CPU seconds, and those stopped early, come from a script that preceded this module; it
trained the same networks on the same split, with seed 0. Rows of ``course`` whose notes name
another activation, other widths or another batch size come from scripts that changed the course's
network or recipe, with seed 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock
from torch import Tensor, nn

from common.data import load_images
from common.models import Residual, build, count_parameters
from common.norms import make_norm
from common.recipes import SHARED
from common.settings import quick
from common.studies import Run, refuse_stand_in, run_all
from common.training import Recipe, write_atomically

if TYPE_CHECKING:
    from common.training import History

LIMIT = 50_000  # the course network has fewer parameters than this
LOG = Path(__file__).parent / "results" / "search.csv"
LOGGED_DATASET = "CIFAR-10 (JPEG copy), validation split"
OVER_LIMIT = "over the limit, a probe"

ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU}
RECIPES = {"muon": SHARED, "sgd": Recipe()}


# Candidates ---------------------------------------------------------------------------------------


class Stage(NamedTuple):
    """So many blocks of so many channels, the first of them with this stride."""

    channels: int
    blocks: int
    stride: int = 1


@dataclass(frozen=True)
class Candidate:
    """A network as data.

    Attributes:
        block: a key of ``BLOCKS``.
        stages: what follows the stem.
        stem: channels of a 3×3 convolution at full size and, where there is a second number, of
            one more at half size.
        expansion: how many times wider a block is inside than outside (not ``pre-activation``).
        kernel: height and width of the kernel that looks around, an odd number.
        activation: a key of ``ACTIVATIONS``.
        squeeze: hidden channels of a squeeze-and-excite step in each block; 0: there is none.

    Raises ``ValueError`` naming the attribute that is out of range.
    """

    block: str
    stages: tuple[Stage, ...]
    stem: tuple[int, ...] = (16,)
    expansion: int = 4
    kernel: int = 3
    activation: str = "silu"
    squeeze: int = 0

    def __post_init__(self) -> None:
        for name, known in (("block", BLOCKS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"Unknown {name} {getattr(self, name)!r}; choose one of {', '.join(known)}."
                )
        for name, is_fine, words in (
            ("stages", len(self.stages) > 0, "one stage or more"),
            ("stem", len(self.stem) in (1, 2), "one width or two"),
            ("expansion", self.expansion >= 1, "1 or more"),
            ("kernel", self.kernel > 0 and self.kernel % 2 == 1, "an odd number"),
            ("squeeze", self.squeeze >= 0, "0 or more"),
            (
                "squeeze",
                not self.squeeze or self.block not in WITHOUT_SQUEEZE,
                f"0 with {self.block} blocks, which have no place for it",
            ),
        ):
            if not is_fine:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {words}.")

    @property
    def shape(self) -> str:
        """The network in one line; ``/2`` marks where height and width are halved."""
        full, *half = self.stem
        steps = [f"{full}", *(f"{width}/2" for width in half)]
        for channels, blocks, stride in self.stages:
            steps.append(f"{blocks}×{channels}" + (f"/{stride}" if stride > 1 else ""))
        return " → ".join(steps)

    def build(
        self, *, norm: str, classes: int = 10, image_size: int = 32, groups: int = 4
    ) -> CandidateNetwork:
        """The network, freshly initialised; any ``image_size`` from 16 up is the same to it."""
        return CandidateNetwork(self, norm, classes, groups)


class CandidateNetwork(nn.Module):
    """A candidate's layers: ``(N, 3, H, W)`` in, logits ``(N, classes)`` out.

    Attributes:
        stem, stages: as the candidate has them.
        head: norm, activation, average over all positions and a linear layer.
    """

    def __init__(
        self, candidate: Candidate, norm: str = "batch", classes: int = 10, groups: int = 4
    ) -> None:
        super().__init__()
        parts = _Parts(candidate, norm, groups)
        self.stem = parts.stem()
        channels, blocks = candidate.stem[-1], []
        for width, count, stride in candidate.stages:
            for i in range(count):
                blocks.append(BLOCKS[candidate.block](parts, channels, width, 1 if i else stride))
                channels = width
        self.stages = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            parts.norm(channels),
            parts.activation(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


class SqueezeExcite(nn.Module):
    """Scales each channel by what the averages of all channels say: ``(N, C, H, W)``, same out.

    Source: Hu et al., "Squeeze-and-excitation networks", 2018.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.SiLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x)


class Gate(nn.Module):
    """``body(a) * activation(b)``, a and b the halves of the channels: ``(N, 2C, H, W)`` to C.

    Sources: Dauphin et al., "Language modeling with gated convolutional networks", 2017; Shazeer,
    "GLU variants improve Transformer", 2020, for other activations than the sigmoid.
    """

    def __init__(self, body: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1)
        return self.body(a) * self.activation(b)


@dataclass(frozen=True)
class _Parts:
    """What the blocks of one candidate are put together from."""

    candidate: Candidate
    norm_kind: str
    groups: int

    def norm(self, channels: int) -> nn.Module:
        return make_norm(self.norm_kind, channels, self.groups)

    def activation(self) -> nn.Module:
        return ACTIVATIONS[self.candidate.activation]()

    def looks_around(
        self, inputs: int, outputs: int, stride: int = 1, depthwise: bool = False
    ) -> nn.Conv2d:
        kernel, groups = self.candidate.kernel, inputs if depthwise else 1
        return _convolution(inputs, outputs, kernel, stride, kernel // 2, groups)

    def squeeze(self, channels: int) -> list[nn.Module]:
        hidden = self.candidate.squeeze
        return [SqueezeExcite(channels, hidden)] if hidden else []

    def wide(self, channels: int) -> int:
        return self.candidate.expansion * channels

    def stem(self) -> nn.Sequential:
        first, *second = self.candidate.stem
        layers = [_convolution(3, first, 3, padding=1)]
        for width in second:
            layers += [self.norm(first), self.activation()]
            layers.append(_convolution(first, width, 3, stride=2, padding=1))
        if self.candidate.block == "inverted":  # the others begin with a norm of their own
            layers.append(self.norm(self.candidate.stem[-1]))
            if not second:
                layers.append(self.activation())
        return nn.Sequential(*layers)


def _convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def _pooled_shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    """What takes a block's input to the shape of its output; None where that is the same."""
    layers = [nn.AvgPool2d(stride)] if stride > 1 else []
    if inputs != outputs:
        layers.append(_convolution(inputs, outputs))
    return nn.Sequential(*layers) if layers else None


def _pre_activation(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Norm and activation before each of two full convolutions.

    Source: He et al., "Identity mappings in deep residual networks", 2016.
    """
    body = nn.Sequential(
        parts.norm(inputs),
        parts.activation(),
        parts.looks_around(inputs, outputs, stride),
        parts.norm(outputs),
        parts.activation(),
        parts.looks_around(outputs, outputs),
    )
    return Residual(body, _pooled_shortcut(inputs, outputs, stride))


def _inverted(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Widen, look around channel by channel, narrow again, each with its norm.

    Source: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018.
    """
    wide = parts.wide(inputs)
    body = nn.Sequential(
        _convolution(inputs, wide),
        parts.norm(wide),
        parts.activation(),
        parts.looks_around(wide, wide, stride, depthwise=True),
        parts.norm(wide),
        parts.activation(),
        *parts.squeeze(wide),
        _convolution(wide, outputs),
        parts.norm(outputs),
    )
    return Residual(body) if inputs == outputs and stride == 1 else body


def _one_wide_norm(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """The inverted block with its input normed, and one norm inside instead of three.

    Norms and activations of wide maps take much of an inverted block's time; this one has half.
    """
    wide = parts.wide(outputs)
    body = nn.Sequential(
        parts.norm(inputs),
        _convolution(inputs, wide),
        parts.looks_around(wide, wide, stride, depthwise=True),
        parts.norm(wide),
        parts.activation(),
        *parts.squeeze(wide),
        _convolution(wide, outputs),
    )
    return Residual(body, _pooled_shortcut(inputs, outputs, stride))


def _convnext(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Look around channel by channel first, then widen and narrow, with one norm in all.

    Source: Liu et al., "A ConvNet for the 2020s", 2022, whose layer norm is over the channels of
    each position; here it is the norm under study.
    """
    wide = parts.wide(outputs)
    block = Residual(
        nn.Sequential(
            parts.looks_around(outputs, outputs, depthwise=True),
            parts.norm(outputs),
            _convolution(outputs, wide),
            parts.activation(),
            *parts.squeeze(wide),
            _convolution(wide, outputs),
        )
    )
    if inputs == outputs and stride == 1:
        return block
    return nn.Sequential(parts.norm(inputs), _convolution(inputs, outputs, stride, stride), block)


def _gated(parts: _Parts, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Widen to twice the width, look around in one half and let the other half gate it."""
    wide = parts.wide(outputs)
    looks_around = nn.Sequential(
        parts.looks_around(wide, wide, depthwise=True),
        parts.norm(wide),
    )
    block = Residual(
        nn.Sequential(
            parts.norm(outputs),
            _convolution(outputs, 2 * wide),
            Gate(looks_around, parts.activation()),
            _convolution(wide, outputs),
        )
    )
    if inputs == outputs and stride == 1:
        return block
    return nn.Sequential(_convolution(inputs, outputs, stride, stride), block)


BLOCKS = {
    "pre-activation": _pre_activation,
    "inverted": _inverted,
    "one-wide-norm": _one_wide_norm,
    "convnext": _convnext,
    "gated": _gated,
}
WITHOUT_SQUEEZE = ("pre-activation", "gated")

_HALF_SIZE = (Stage(24, 5), Stage(32, 2, 2))
CANDIDATES = {
    "pre-activation": Candidate("pre-activation", (Stage(16, 1), Stage(28, 2, 2), Stage(32, 1, 2))),
    "inverted": Candidate("inverted", (Stage(24, 4, 2), Stage(32, 3, 2))),
    "inverted-stem-16": Candidate("inverted", _HALF_SIZE, stem=(16, 24)),
    "inverted-stem-12": Candidate("inverted", _HALF_SIZE, stem=(12, 24)),
    "one-wide-norm": Candidate("one-wide-norm", _HALF_SIZE, stem=(16, 24)),
    "convnext": Candidate("convnext", (Stage(32, 4, 2), Stage(32, 1, 2)), kernel=5),
    "convnext-stem": Candidate(
        "convnext", (Stage(32, 4), Stage(36, 1, 2)), stem=(16, 32), kernel=5
    ),
    "gated": Candidate("gated", _HALF_SIZE, stem=(16, 24), expansion=2, kernel=5),
}
COURSE = "course"  # what the search led to: a candidate among the others, built by common.models


# Runs ---------------------------------------------------------------------------------------------


def plan(
    candidates: Iterable[str],
    norms: Iterable[str] = ("batch",),
    learning_rates: Iterable[float] = (),
    *,
    optimiser: str = "muon",
    epochs: int = 6,
    train_images: int | None = None,
    seed: int = 1,
    data: str = "cifar10",
) -> list[Run]:
    """Every candidate with every norm at every learning rate: the same grid for all.

    Args:
        candidates: keys of ``CANDIDATES``, or ``course`` for the course's network.
        learning_rates: none for the recipe's own.
        optimiser: ``muon``, the course's recipe, or ``sgd``, the recipe the search began with.
        train_images: how many of the training images that are not held out; None for all.

    Raises ``ValueError`` for an unknown candidate or optimiser.
    """
    if optimiser not in RECIPES:
        raise ValueError(f"Unknown optimiser {optimiser!r}; choose one of {', '.join(RECIPES)}.")
    recipe = replace(RECIPES[optimiser], epochs=epochs, seed=seed)
    rates = list(learning_rates) or [recipe.learning_rate]
    runs = []
    for name, norm, rate in product(candidates, norms, rates):
        if name not in CANDIDATES and name != COURSE:
            known = ", ".join((COURSE, *CANDIDATES))
            raise ValueError(f"Unknown candidate {name!r}; choose from {known}.")
        images = "" if train_images is None else f"-images{train_images}"
        runs.append(
            Run(
                name,
                norm,
                replace(recipe, learning_rate=rate),
                data=data,
                validation=True,
                label=f"{optimiser}-lr{rate:g}-epochs{epochs}{images}",
                train_images=train_images,
                builder=CANDIDATES[name].build if name in CANDIDATES else None,
            )
        )
    return runs


def perform(
    runs: Sequence[Run],
    folder: Path,
    *,
    jobs: int | None = None,
    device: str | None = None,
    stand_in: bool = True,
) -> list[Row]:
    """Perform the runs that ``folder`` does not hold yet; a row for each of all, in order.

    ``stand_in`` says whether the built-in images will do where CIFAR-10 cannot be had; ``jobs``
    and ``device`` are those of ``run_all``.

    Raises ``ValueError`` if a file of the folder is of a network that has changed since.
    """
    images = {name: load_images(name) for name in {run.data for run in runs}}
    if not stand_in:
        for data in images.values():
            refuse_stand_in(data)
    classes = {name: len(data.classes) for name, data in images.items()}
    # Counted first: a norm that does not fit is found before anything is trained.
    counts = [_parameters(run, classes[run.data]) for run in runs]
    histories = run_all(runs, folder, jobs=jobs, device=device)
    for run, history, count in zip(runs, histories, counts, strict=True):
        if history.parameters != count:
            raise ValueError(
                f"{folder / run.name}.json was trained with a {run.network} network of "
                f"{history.parameters:,} parameters; it has {count:,} now. Delete the file, or "
                "choose another folder."
            )
    return list(map(as_row, runs, histories, counts))


def _parameters(run: Run, classes: int) -> int:
    make = run.builder or partial(build, run.network)
    return count_parameters(make(norm=run.norm, classes=classes))


# The log ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One configuration and what came of it, as the log has it (see the top of this module)."""

    name: str
    block: str
    parameters: int
    norm: str
    optimiser: str
    learning_rate: float
    epochs: int
    epochs_done: int
    train_images: int
    validation_accuracy: float | None = None
    train_accuracy: float | None = None
    cpu_seconds: int | None = None
    notes: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def as_row(run: Run, history: History, parameters: int) -> Row:
    """The row of a finished or diverged run of a network that has so many parameters."""
    candidate = CANDIDATES.get(run.network)
    last = history.epochs[-1] if history.epochs else None
    threads = "1 thread" if history.threads == 1 else f"{history.threads} threads"
    clock = f"{history.seconds:.0f} s on the clock, {threads}, {history.device}"
    notes = [
        OVER_LIMIT if parameters >= LIMIT else "",
        history.failure,
        f"seed {history.seed}" if history.seed != 1 else "",
        history.dataset if history.dataset != LOGGED_DATASET else "",
        clock if history.epochs else "",
    ]
    return Row(
        name=run.network,
        block=candidate.block if candidate else "inverted",
        parameters=parameters,
        norm=run.norm,
        optimiser=history.recipe.optimiser,
        learning_rate=history.recipe.learning_rate,
        epochs=history.recipe.epochs,
        epochs_done=len(history.epochs),
        train_images=history.train_images,
        validation_accuracy=round(last["test_accuracy"], 2) if last else None,
        train_accuracy=round(last["train_accuracy"], 2) if last else None,
        notes="; ".join(note for note in notes if note),
    )


def default_log(data: str, folder: Path) -> Path:
    """The course's log for CIFAR-10; one beside the runs for other images and quick trials."""
    return LOG if data == "cifar10" and not quick() else folder / LOG.name


def load_log(path: str | Path = LOG) -> list[Row]:
    """The rows of a log, in the order in which they were tried; none if there is no such file.

    Raises ``ValueError`` if the file is something else.
    """
    path = Path(path)
    if not path.exists():
        return []
    reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    if tuple(next(reader, ())) != COLUMNS:
        raise ValueError(
            f"{path} is no log of the search: its columns are not {','.join(COLUMNS)}. "
            "Name another file."
        )
    try:
        return [_parse(cells) for cells in reader]
    except ValueError as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _parse(cells: list[str]) -> Row:
    kinds = {"int": int, "float": float, "str": str}
    values = []
    for field, cell in zip(fields(Row), cells, strict=True):
        kind, _, optional = field.type.partition(" | ")
        values.append(None if optional and not cell else kinds[kind](cell))
    return Row(*values)


def add_to_log(rows: Iterable[Row], path: str | Path = LOG) -> Path:
    """Append the rows that the log does not hold yet, so that a repeated command adds nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):  # another search may be adding rows
        known = load_log(path)
        new = [row for row in dict.fromkeys(rows) if row not in known]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(map(astuple, [*known, *new]))
        return write_atomically(path, text.getvalue())


def table(rows: Iterable[Row]) -> str:
    """The rows as plain text, the best first among those of equal epochs and training images."""
    lines = [
        f"{'candidate':<16}  {'parameters':>10}  {'norm':<5}  {'optimiser, rate':<15}  "
        f"{'epochs':>7}  {'images':>6}  {'validation %':>12}  {'train %':>7}  notes"
    ]
    for row in sorted(rows, key=_rank):
        lines.append(
            f"{row.name:<16}  {row.parameters:>10,}  {row.norm:<5}  "
            f"{f'{row.optimiser} {row.learning_rate:g}':<15}  "
            f"{f'{row.epochs_done} of {row.epochs}':>7}  {row.train_images:>6}  "
            f"{_percent(row.validation_accuracy):>12}  {_percent(row.train_accuracy):>7}  "
            f"{row.notes}".rstrip()
        )
    return "\n".join(lines)


def _rank(row: Row) -> tuple[float, ...]:
    return -row.train_images, -row.epochs, -row.epochs_done, -(row.validation_accuracy or 0)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
