"""Trained weights as safetensors files that say what they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from common import settings
from common.files import replacing
from common.training import History, Score, evaluate

if TYPE_CHECKING:
    from torch import nn

    from common.data import ImageData


def save_weights(model: nn.Module, path: Path, history: History, **about: object) -> Path:
    """Write the model's parameters and buffers as safetensors, with what they are.

    Raises ``OSError`` if they cannot be written.
    """
    from safetensors.torch import save_file

    about |= {
        "network": history.network,
        "norm": history.norm,
        "dataset": history.dataset,
        "seed": history.seed,
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={key: str(value) for key, value in about.items()})
    return path


def load_weights(path: str | Path) -> tuple[nn.Module, dict[str, str]]:
    """The network in a weights file, in evaluation mode, and what the file says of it.

    Raises ``FileNotFoundError`` if there is no such file, ``ValueError`` if it is not one of ours.
    """
    from safetensors import safe_open

    from common.networks import build

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


class Tested(NamedTuple):
    """What weights came to on test images; ``about`` is what their file says of them."""

    about: dict[str, str]
    data: ImageData
    score: Score


def try_weights(path: str | Path, data: str | Path, device: str | None = None) -> Tested:
    """The network in a weights file on the test images of a data set, as ``load_images`` takes it.

    Raises ``ValueError`` if its classes are not as many as those of the images, and what
    ``load_weights`` raises.
    """
    from common.data import load_images

    model, about = load_weights(path)
    settings.tune_process()
    images = load_images(data)
    if len(images.classes) != int(about["classes"]):
        raise ValueError(
            f"The network of {path} tells {about['classes']} classes apart, and {images.title} has "
            f"{len(images.classes)}: name the images it was trained on (--data)."
        )
    score = evaluate(model, images.test, images, device=settings.pick_device(device))
    return Tested(about, images, score)
