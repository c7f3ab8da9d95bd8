"""CIFAR-10 from the network: resumed after an interruption, checked, from several sources."""

from __future__ import annotations

from pathlib import Path


class DownloadError(RuntimeError):
    """The download did not work out; the message says why and what to do."""


def cifar10():
    """torchvision's class for CIFAR-10, which knows the files of its layout and their md5 sums."""
    from torchvision.datasets import CIFAR10

    return CIFAR10


def damaged(folder: Path) -> list[str]:
    """Names of the files missing from or damaged in ``folder/cifar-10-batches-py``."""
    from torchvision.datasets.utils import check_integrity

    layout = cifar10()
    files = [*layout.train_list, *layout.test_list, [layout.meta["filename"], layout.meta["md5"]]]
    return [
        name for name, md5 in files if not check_integrity(folder / layout.base_folder / name, md5)
    ]


def download_cifar10(folder: Path) -> Path:
    """Download CIFAR-10 and unpack it to ``folder/cifar-10-batches-py``."""
    raise DownloadError(f"it is not in {folder}, and the download is not built yet.")
