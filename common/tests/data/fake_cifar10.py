"""CIFAR-10 for tests: in miniature, 100 training and 20 test images, or whole and all black."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import torch
from torchvision.datasets import CIFAR10

from common.data import ImageData, ImageSet
from common.data.folders import CIFAR10_CLASSES


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def fake_cifar10():
    """A tiny archive in CIFAR-10's layout, and the class that knows its names and md5 sums."""
    rng = np.random.default_rng(0)
    names = {"label_names": list("abcdefghij")}
    contents = {"batches.meta": pickle.dumps(names)}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        pixels = rng.integers(0, 256, size=(20, 3072), dtype=np.uint8)
        labels = [i % 10 for i in range(20)]
        contents[name] = pickle.dumps({"data": pixels, "labels": labels})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in {**contents, "readme.html": b"not ours", "../escape": b"bad"}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    class Layout(CIFAR10):
        tgz_md5 = md5(buffer.getvalue())
        train_list = tuple(
            (f"data_batch_{i}", md5(contents[f"data_batch_{i}"])) for i in range(1, 6)
        )
        test_list = (("test_batch", md5(contents["test_batch"])),)
        meta = {  # noqa: RUF012 - as torchvision has it
            "filename": "batches.meta",
            "key": "label_names",
            "md5": md5(contents["batches.meta"]),
        }

    return buffer.getvalue(), Layout


def like_cifar10():
    """As many images as CIFAR-10 has, of its size and classes, all black: they take no memory."""
    black = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    parts = (
        ImageSet(black.expand(count, -1, -1, -1), torch.arange(count) % 10)
        for count in (50_000, 10_000)
    )
    return ImageData("CIFAR-10", *parts, CIFAR10_CLASSES, (0.5,) * 3, (0.25,) * 3)
