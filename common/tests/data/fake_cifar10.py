"""CIFAR-10 in miniature, for tests: the same layout, with 100 training and 20 test images."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
from torchvision.datasets import CIFAR10


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
