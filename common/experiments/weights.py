"""Trained weights as safetensors files that say what they are."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from common import settings
from common.files import replacing
from common.training import History, Score, checksum, evaluate

if TYPE_CHECKING:
    from torch import nn

    from common.data import ImageData

_WRAPPERS = ("module.", "_orig_mod.")  # before every name: DataParallel's, torch.compile's


def save_weights(model: nn.Module, path: Path, history: History, data: ImageData) -> Path:
    """Write the model's parameters and buffers as safetensors, with what they are.

    The file says of which network, norm, seed and data set, the last test loss, the names of the
    classes in the order of the outputs and what the images are normalised with, and has a checksum
    over all of it. ``history`` has an epoch at least. Raises ``OSError`` if it cannot be written.
    """
    from safetensors.torch import save_file

    about = _run_of(history) | {
        "classes": str(len(data.classes)),
        "class_names": json.dumps(data.classes, ensure_ascii=False),
        "image_size": str(data.train.images.shape[-1]),
        "mean": json.dumps(data.mean),
        "std": json.dumps(data.std),
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    about["checksum"] = _checksum(about, tensors)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=about)
    return path


def _run_of(history: History) -> dict[str, str]:
    """What a weights file says of its run; no other run ends with the same test loss."""
    return {
        "network": history.network,
        "norm": history.norm,
        "dataset": history.dataset,
        "fingerprint": history.fingerprint,
        "seed": str(history.seed),
        "test_loss": str(history.column("test_loss")[-1]),
    }


def has_weights(path: Path, history: History) -> bool:
    """Whether ``path`` holds the weights of this run, as far as they say whose they are.

    A process killed before it has written its history leaves weights beside that of another run.
    """
    try:
        about, _ = _read(path)
    except ValueError:
        return False
    return all(about.get(name, value) == value for name, value in _run_of(history).items())


def _checksum(about: dict[str, str], tensors: dict[str, torch.Tensor]) -> str:
    # Sorted: safetensors keeps no order.
    return checksum([sorted(about.items()), sorted(tensors.items())])


def load_weights(
    path: str | Path, network: str | None = None, norm: str | None = None
) -> tuple[nn.Module, dict[str, str]]:
    """The network in a weights file, in evaluation mode, and what the file says of it.

    ``network`` and ``norm`` are what the file is to hold, None for anything. A file that does not
    say what it holds (``save_file(model.state_dict(), …)`` writes such ones, under names that may
    begin with ``module.`` or ``_orig_mod.``) is loaded if both are given; its images are taken to
    be of 32 × 32 pixels.

    Raises ``FileNotFoundError`` if there is no such file; ``ValueError`` if it holds another
    network, is damaged, or if a weight is no number.
    """
    from common.networks import build

    path = Path(path).absolute()
    if not path.exists():
        raise FileNotFoundError(
            f"There are no weights at {path}. Train them: python -m common train --norm batch"
        )
    about, tensors = _read(path)
    if "checksum" in about:
        kept = {key: value for key, value in about.items() if key != "checksum"}
        if _checksum(kept, tensors) != about["checksum"]:
            raise ValueError(
                f"{path} is damaged: its weights are not those that were saved. Fetch it again, or "
                "delete it and train again."
            )
    for what, wanted in (("network", network), ("norm", norm)):
        if wanted is not None and wanted != about.get(what, wanted):
            raise ValueError(
                f"{path} holds the network {about.get('network')!r} with {about.get('norm')!r} "
                f"norm, not the {what} {wanted!r}; leave --{what} out, or name another file."
            )
    if "checksum" not in about:
        if network is None or norm is None:
            raise ValueError(
                f"{path} does not say what it holds; name it: --network course --norm batch, say."
            )
        about = _describe(tensors, network, norm) | about
    if broken := [name for name, value in tensors.items() if not value.isfinite().all()]:
        raise ValueError(
            f"{path} holds weights that are no numbers ({broken[0]}): the training diverged. "
            "Train again with a lower learning rate."
        )
    try:
        options = {"classes": int(about["classes"]), "image_size": int(about["image_size"])}
        model = build(about["network"], about["norm"], **options)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} holds no weights of this course's networks: {error}") from error
    _fill(model, tensors, path, about)
    return model.eval(), about


def _read(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """What a safetensors file says of itself, and its tensors under the names of their layers."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors raises a class of its own, of no exported type
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    if "checksum" not in about:
        for prefix in _WRAPPERS:
            if tensors and all(name.startswith(prefix) for name in tensors):
                tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return about, tensors


def _describe(tensors: dict[str, torch.Tensor], network: str, norm: str) -> dict[str, str]:
    """What can be known of weights that do not say what they are."""
    from common.networks import build

    ten, eleven = (build(network, norm, classes=n).state_dict() for n in (10, 11))
    per_class = next(name for name in ten if ten[name].shape != eleven[name].shape)
    classes = str(len(tensors.get(per_class, range(10))))
    unknown = dict.fromkeys(("dataset", "fingerprint", "seed"), "")
    return unknown | {"network": network, "norm": norm, "classes": classes, "image_size": "32"}


def _fill(
    model: nn.Module, tensors: dict[str, torch.Tensor], path: Path, about: dict[str, str]
) -> None:
    """Give the model its weights. Raises ``ValueError`` in a line if they are another network's."""
    own = model.state_dict()
    wrong = [name for name in own if name not in tensors]
    wrong += [name for name in tensors if name not in own]
    wrong += [n for n, value in own.items() if n in tensors and tensors[n].shape != value.shape]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ValueError(
            f"{path} holds no weights of the network {about['network']!r} with {about['norm']!r} "
            f"norm: {wrong[0]}{more} do not fit. Name the ones it was built with."
        )
    model.load_state_dict(tensors)


class Tested(NamedTuple):
    """What weights came to on test images; ``about`` is what their file says of them."""

    about: dict[str, str]
    data: ImageData
    score: Score


def try_weights(
    path: str | Path,
    data: str | Path,
    device: str | None = None,
    *,
    network: str | None = None,
    norm: str | None = None,
) -> Tested:
    """The network in a weights file on the test images of a data set, as ``load_images`` takes it.

    They are normalised as the training images were, where the file says how. A line on stderr says
    so if they are of another size.

    Raises ``ValueError`` if its classes are not those of the images, if these are a stand-in for
    the ones asked for (but in quick mode), and what ``load_weights`` raises.
    """
    from common.data import load_images

    model, about = load_weights(path, network, norm)
    settings.tune_process()
    images = load_images(data)
    if images.note and not images.quick:
        raise ValueError(f"{images.note} The weights are not tested on other images.")
    here = list(images.classes)
    # Quick mode's stand-in is a trial of the command, not of the weights.
    there = here if images.note else json.loads(about.get("class_names", "null")) or here
    if len(here) != int(about["classes"]) or there != here:
        raise ValueError(
            f"The network of {path} tells {about['classes']} classes apart"
            + (f" ({_listed(there)})" if there != here else "")
            + f", and {images.title} has {len(here)} ({_listed(here)}): name the images it was "
            "trained on (--data)."
        )
    if "mean" in about:  # files of the time before it was kept do without
        mean, std = (tuple(json.loads(about[name])) for name in ("mean", "std"))
        images = replace(images, mean=mean, std=std)
    score = evaluate(model, images.test, images, device=settings.pick_device(device))
    here, there = str(images.test.images.shape[-1]), about["image_size"]
    if here != there and "checksum" in about:  # without one the size is but taken to be this
        print(
            f"The network was trained on images {there} pixels wide, and these are {here} wide: "
            "the accuracy may suffer from that alone.",
            file=sys.stderr,
        )
    return Tested(about, images, score)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
