"""Networks that take turns, an epoch each: a race that can be watched while it goes on."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from common import settings
from common.training.acceleration import Acceleration
from common.training.history import Diverged, History
from common.training.loop import check_outputs, make_batches, new_history, one_epoch
from common.training.progress import Overview, Watcher
from common.training.recipes import Recipe
from common.training.state import TrainingState

if TYPE_CHECKING:
    from common.data import Batches, ImageData


@dataclass
class Turns:
    """How far networks have come that take turns.

    Attributes:
        recipe: the same for all.
        histories: of each network, by name.
        gradients: of each network, a row an epoch: the size of the gradient of each layer's
            weights, ``(layers,)``, its mean over the steps of the epoch; NaN where there is none.
        layers: the names of the layers with weights of two dimensions or more, in depth order.
        stopped: whether somebody stopped them.
    """

    recipe: Recipe
    histories: dict[str, History]
    gradients: dict[str, list[list[float]]]
    layers: list[str]
    stopped: bool = False

    @property
    def running(self) -> list[str]:
        """The networks that have epochs left and have not diverged."""
        over = self.stopped
        return [] if over else [n for n, h in self.histories.items() if not _is_over(h)]

    def accuracy(self, name: str) -> float | None:
        """A network's last test accuracy in %; None before its first epoch has ended."""
        history = self.histories[name]
        return history.test_accuracy if history.epochs else None

    @property
    def words(self) -> str:
        """What there is, in a sentence."""
        done = {name: len(history.epochs) for name, history in self.histories.items()}
        counts = ", ".join(f"{count} of {name}" for name, count in done.items())
        gone = [f"{name} in epoch {done[name] + 1}" for name in done if self._diverged(name)]
        left = f" Given up, for the loss was no number any more: {', '.join(gone)}." if gone else ""
        if self.stopped:
            return f"Stopped. Epochs kept: {counts}; what follows works with them.{left}"
        return f"Epochs: {counts}.{left}"

    def _diverged(self, name: str) -> bool:
        return bool(self.histories[name].failure)


class _Measured(TrainingState):
    """A training state that adds up the sizes of the gradients, layer by layer."""

    def __init__(self, model: nn.Module, recipe: Recipe, steps: int) -> None:
        super().__init__(model, recipe, steps)
        self.weights = list(weights_of(model).values())
        self.sizes, self.counted = 0.0, 0

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        found = super().step(x, y)
        gradients = [weight.grad for weight in self.weights]
        nothing = torch.tensor(math.nan, device=x.device)  # of a layer that is frozen, or unused
        norms = torch.stack([nothing if g is None else g.norm() for g in gradients])
        self.sizes, self.counted = self.sizes + norms, self.counted + 1
        return found

    def mean_sizes(self) -> list[float]:
        """The mean over the steps since the last call."""
        mean = (self.sizes / self.counted).tolist()
        self.sizes, self.counted = 0.0, 0
        return mean


@dataclass
class _Runner:
    """One network: everything of its run that goes on from turn to turn."""

    state: _Measured
    history: History
    random: torch.Tensor  # the state of chance, as this network left it
    watcher: Watcher


def weights_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of convolutions and linear layers, by the name of the layer, in depth order."""
    kinds = (nn.Conv2d, nn.Linear)
    return {name: m.weight for name, m in model.named_modules() if isinstance(m, kinds)}


def take_turns(
    models: Mapping[str, nn.Module],
    data: ImageData,
    recipe: Recipe,
    *,
    network: str = "",
    show: Callable[[Turns], None] = lambda turns: None,
    progress: str = "bar",
    device: str | torch.device | None = None,
    threads: int | None = None,
) -> Turns:
    """Train networks side by side: each gets an epoch, then the next one, until all are done.

    Each comes to what ``fit`` would have made of it alone. One whose loss is no number any more
    is left behind. Whoever interrupts it keeps the whole epochs there are, the networks as they
    were after these, and one sentence says which.

    Args:
        models: by name, a norm's kind where it is one. They must have the same layers but for
            their norms, are trained in place and end in evaluation mode.
        data, recipe, device, threads: as ``fit`` takes them.
        network: for the histories.
        show: called after each turn, and once more at the end.
        progress: ``bar`` (where one can move; else nothing) or ``none``.

    Raises ``ValueError`` as ``fit`` does, and if the networks' layers differ.
    """
    data.check()
    if data.quick:
        recipe = recipe.shortened()
    settings.tune_process(threads)
    device = settings.pick_device(str(device) if device else None)
    layers = [list(weights_of(model)) for model in models.values()]
    if not layers or any(names != layers[0] for names in layers):
        raise ValueError("The networks must have the same layers, but for their norms.")
    batches = make_batches(next(iter(models.values())), data, recipe, device)
    runners = {n: _runner(m, data, recipe, batches, network, n) for n, m in models.items()}
    histories = {name: runner.history for name, runner in runners.items()}
    turns = Turns(recipe, histories, {name: [] for name in runners}, layers[0])
    names = [name for _ in range(recipe.epochs) for name in runners]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), Overview(progress, names, [1] * len(names)) as bar:
        try:
            for number, name in enumerate(names):
                if name not in turns.running:
                    continue
                bar.begin(number)
                _turn(turns, runners[name], name, batches, data)
                if (accuracy := turns.accuracy(name)) is not None:
                    bar.tell(accuracy)
                bar.at(1.0)
                show(turns)
        except KeyboardInterrupt:
            turns.stopped = True
    for name, model in models.items():
        runners[name].state.use_average()
        model.eval()
    if turns.stopped:
        show(turns)
        print(turns.words)
    return turns


def _runner(
    model: nn.Module, data: ImageData, recipe: Recipe, batches: Batches, network: str, name: str
) -> _Runner:
    device = batches.device
    model.to(device)
    if device.type == "cpu":
        model.to(memory_format=torch.channels_last)
    check_outputs(model, batches.first()[0], len(data.classes))
    history = new_history(model, data, recipe, device, network, name)
    state = _Measured(model, recipe, steps=len(batches) * recipe.epochs)
    state.accelerate(Acceleration.chosen(), *batches.first())
    history.acceleration = str(state.acceleration)
    random = torch.Generator().manual_seed(recipe.seed).get_state()
    tests = [len(data.test)] * recipe.epochs
    return _Runner(state, history, random, Watcher("none", recipe, data, name, tests=tests))


def _turn(turns: Turns, runner: _Runner, name: str, batches: Batches, data: ImageData) -> None:
    """An epoch of one network, with chance as that network left it: a row more in its history."""
    started = time.perf_counter()
    torch.set_rng_state(runner.random)
    before = copy.deepcopy(runner.state.evaluated().state_dict())
    try:
        one_epoch(runner.state, runner.history, batches, data, runner.watcher)
    except Diverged:
        return
    except KeyboardInterrupt:
        # Half an epoch is in no history. Evaluated are the average's weights, once there is one,
        # and with these the network ends.
        runner.state.evaluated().load_state_dict(before)
        raise
    finally:
        runner.random = torch.get_rng_state()
        runner.history.seconds += time.perf_counter() - started
    turns.gradients[name].append(runner.state.mean_sizes())


def _is_over(history: History) -> bool:
    return history.finished or bool(history.failure)
