"""Everything that changes while a network is trained: one step, and how it is kept and resumed."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.files import replacing
from common.training.acceleration import (
    Acceleration,
    Forward,
    compile_or_explain,
    make_forward,
    record_or_explain,
)
from common.training.history import History
from common.training.optimisers import (
    cycled_momentum,
    learning_rate_factor,
    make_optimisers,
)
from common.training.recipes import Recipe

# What a checkpoint and the run that takes it up must agree on.
_SAME_RUN = ("network", "norm", "parameters", "recipe")
_SAME_RUN += ("acceleration", "together", "brief")


class TrainingState:
    """What changes while a network is trained, so that it can be saved and taken up again.

    ``seeds`` are given for a model that stacks several networks (``together.py``), one each.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, steps: int, seeds: Sequence[int] | None = None
    ) -> None:
        self.model, self.recipe, self.steps, self.done = model, recipe, steps, 0
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError(
                "Nothing in the network learns: it has no parameters, or all are frozen. Leave "
                "requires_grad on for those that are to be trained."
            )
        self.stacked = seeds is not None
        self.generators = [torch.Generator().manual_seed(s) for s in seeds or [recipe.seed]]
        self.optimisers = make_optimisers(
            model,
            recipe.optimiser,
            recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            side_learning_rate=recipe.side_learning_rate,
            stacked=self.stacked,
        )
        self.full_rates = [[g["lr"] for g in o.param_groups] for o in self.optimisers]
        self.plateaus = [
            torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=recipe.patience)
            for o in self.optimisers
            if recipe.schedule == "plateau"
        ]
        self.average: nn.Module | None = None
        self.acceleration = Acceleration()
        self.forward = self._forward(bfloat16=False)

    def _forward(
        self, bfloat16: bool, recorded: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> Forward:
        smoothing = self.recipe.label_smoothing
        return make_forward(recorded or self.model, smoothing, bfloat16, stacked=self.stacked)

    def accelerate(self, wanted: Acceleration, x: torch.Tensor, y: torch.Tensor) -> None:
        """Make the steps to come cheaper, as far as that works here with the batch ``x, y``."""
        # What is compiled, or in bfloat16, is not recorded as well.
        alone = wanted.recorded and not (wanted.compiled or wanted.bfloat16)
        recorded = record_or_explain(self.model, x) if alone else None
        forward = self._forward(wanted.bfloat16, recorded)
        compiled = compile_or_explain(forward, self.model, x, y) if wanted.compiled else None
        self.forward = compiled or forward
        done = {"compiled": compiled is not None, "recorded": recorded is not None}
        self.acceleration = replace(wanted, **done)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One update; returns summed loss and number right, both still on the device."""
        if self.recipe.schedule != "plateau":
            self._set_learning_rate()
        if self.acceleration.compiled:
            torch.compiler.cudagraph_mark_step_begin()  # what the last step returned has been used
        loss, right = self.forward(x, y)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.sum().backward()
        for optimiser in self.optimisers:
            optimiser.step()
        self.done += 1
        if self.recipe.average and self.done > 0.75 * self.steps:
            self._update_average()
        with torch.no_grad():
            return torch.stack([loss * y.shape[-1], right])

    def _set_learning_rate(self) -> None:
        recipe, progress = self.recipe, self.done / self.steps
        factor = learning_rate_factor(recipe.schedule, progress, recipe.warmup)
        momentum = cycled_momentum(recipe.schedule, progress, recipe.warmup)
        for optimiser, rates in zip(self.optimisers, self.full_rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
                if momentum is not None and "momentum" in group:
                    group["momentum"] = momentum

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            self.average = copy.deepcopy(self.model)
            return
        pairs = zip(
            self.average.state_dict().values(), self.model.state_dict().values(), strict=True
        )
        for mean, value in pairs:
            if mean.is_floating_point():
                mean.lerp_(value, 1 - self.recipe.average)
            else:
                mean.copy_(value)

    def learning_rate(self) -> float:
        return self.optimisers[0].param_groups[0]["lr"]

    def end_epoch(self, loss: float) -> None:
        for plateau in self.plateaus:
            plateau.step(loss)

    def evaluated(self) -> nn.Module:
        """The network to evaluate now: the average of the weights once there is one."""
        return self.average or self.model

    def use_average(self) -> None:
        if self.average is not None:
            self.model.load_state_dict(self.average.state_dict())

    def _gpu(self) -> torch.device | None:
        """The CUDA device that the model is on, whose random state is the run's."""
        device = next(self.model.parameters()).device
        return device if device.type == "cuda" else None

    def save(self, path: str | Path, histories: Sequence[History]) -> None:
        """Keep everything the rest of the run depends on, in one file that is never half there."""
        state = {
            "histories": [history.to_json() for history in histories],
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "plateaus": [p.state_dict() for p in self.plateaus],
            "done": self.done,
            "generators": [generator.get_state() for generator in self.generators],
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(gpu) if (gpu := self._gpu()) else None,
        }
        with replacing(path) as temporary:
            torch.save(state | {"checksum": checksum(state)}, temporary)

    def restore(self, path: str | Path, histories: Sequence[History]) -> None:
        """Go on where ``save`` left off; ``histories`` receive the epochs done so far."""
        kept = _read(path)
        olds = [History.from_json(text) for text in kept["histories"]]
        for name in _SAME_RUN:
            there = [getattr(old, name) for old in olds]
            here = [getattr(history, name) for history in histories]
            if there != here:
                raise ValueError(
                    f"The checkpoint {path} belongs to another run: its {name} is "
                    f"{_one_or_all(there)!r}, this run's is {_one_or_all(here)!r}. "
                    "Delete the checkpoint to start afresh, or name another file."
                )
        for old, new in zip(olds, histories, strict=True):
            images = new.dataset, new.train_images, new.test_images, new.fingerprint
            if different := old.other_images(*images):
                raise ValueError(
                    f"The checkpoint {path} belongs to a run on other images ({different}). Bring "
                    "those images back, or delete the checkpoint to start afresh."
                )
        self.model.load_state_dict(kept["model"])
        if kept["average"]:
            self.average = copy.deepcopy(self.model)
            self.average.load_state_dict(kept["average"])
        for optimiser, state in zip(self.optimisers, kept["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        for plateau, state in zip(self.plateaus, kept["plateaus"], strict=True):
            plateau.load_state_dict(state)
        self.done = kept["done"]
        for generator, state in zip(self.generators, kept["generators"], strict=True):
            generator.set_state(state)
        torch.set_rng_state(kept["random"])
        if kept["random_cuda"] is not None and (gpu := self._gpu()):
            torch.cuda.set_rng_state(kept["random_cuda"], gpu)
        for history, old in zip(histories, olds, strict=True):
            history.epochs, history.seconds = old.epochs, old.seconds
            history.failure = old.failure


def _read(path: str | Path) -> dict[str, Any]:
    """What ``save`` wrote. Raises ``ValueError`` naming the file if it is damaged or too old."""
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        text = None if isinstance(kept, dict) and "checksum" in kept else "is of an older course"
        if not text and kept.pop("checksum") != checksum(kept):
            text = "is damaged"
    except Exception as error:  # a damaged file can fail in many ways
        text = f"is damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
    if text:
        raise ValueError(f"The checkpoint {path} {text}; delete it to start this run afresh.")
    return kept


def checksum(value: Any) -> str:
    """32 hexadecimal digits that depend on every value in nested lists, dictionaries, tensors."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()[:32]


def _feed(digest: hashlib._Hash, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
        # As bytes: NumPy has no bfloat16.
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    elif isinstance(value, dict):
        for key in value:
            digest.update(repr(key).encode())
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"[{len(value)}]".encode())
        for part in value:
            _feed(digest, part)
    else:
        digest.update(repr(value).encode())


def _one_or_all(values: list[Any]) -> Any:
    """The only value of a list, or the whole of it."""
    return values[0] if len(values) == 1 else values
