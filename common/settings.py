"""Choices that hold for a whole process: quick mode, folders, device, threads and memory.

Every choice can be made from outside through an environment variable, so that a notebook,
the command line and a test make it in the same place:

``NORMS_QUICK``    1: tiny data and one or two epochs; 0: never quick (default: quick under pytest)
``NORMS_DATA``     folder that holds the data sets; a relative one is sought in the course's own
                   folder (default: ``data``)
``NORMS_RUNS``     folder for what is trained; a relative one likewise (default: ``runs``)
``NORMS_DEVICE``   ``cpu``, ``cuda``, ``cuda:1``, ``mps`` (default: the fastest one present)
``NORMS_THREADS``  upper limit on the CPU threads of one process (default: the physical cores)
``NORMS_COMPILE``  1: training steps go through ``torch.compile`` (default: 0)
``NORMS_BF16``     1: training steps in bfloat16 where autocast allows it (default: 0)
``NORMS_RECORD``   1: on CUDA, training steps are recorded once and replayed (default: 0)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parent.parent
LESSONS = {"batch": "Batch-Norm", "group": "Group-Norm", "layer": "Layer-Norm"}


def quick() -> bool:
    """Whether quick mode is on: ``shapes``, a few hundred images, one or two epochs.

    On for ``NORMS_QUICK=1`` and under pytest (which nbval's kernels inherit), unless
    ``NORMS_QUICK=0``. Raises ``ValueError`` for any other value.
    """
    value = os.environ.get("NORMS_QUICK", "").strip()
    if value not in {"", "0", "1"}:
        raise ValueError(f"NORMS_QUICK is {value!r}; set it to 1 (quick) or 0 (full), or unset it.")
    return value == "1" or (value == "" and "PYTEST_VERSION" in os.environ)


def switch(name: str) -> bool:
    """Whether the environment variable ``name`` is 1; 0, empty and unset are no.

    Raises ``ValueError`` for any other value.
    """
    value = os.environ.get(name, "").strip()
    if value not in {"", "0", "1"}:
        raise ValueError(f"{name} is {value!r}; set it to 1 (on) or 0 (off), or unset it.")
    return value == "1"


def data_folder() -> Path:
    """Folder that holds the data sets: ``NORMS_DATA``, else ``data`` at the top of the course.

    A relative one is sought from the top of the course, so that the lessons and the command line,
    which start in different folders, mean the same.
    """
    return ROOT / with_home(os.environ.get("NORMS_DATA") or "data")


def with_home(path: str | Path) -> Path:
    """The path with ``~`` written out. Raises ``ValueError`` for the home of an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: there is no such user here; write the path out.") from error


# What the reader trains; git-ignored. A relative one is sought as that of the data is.
RUNS = ROOT / with_home(os.environ.get("NORMS_RUNS") or "runs")


def pick_device(name: str | None = None) -> torch.device:
    """The device to train on: ``name``, else ``NORMS_DEVICE``, else CUDA, MPS or the CPU.

    Raises ``ValueError`` for a device this machine or this build of PyTorch does not have.
    """
    import torch

    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present[:0] = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    name = name or os.environ.get("NORMS_DEVICE") or present[0]
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in present:
        raise ValueError(
            f"Device {name!r} is not available here; this machine offers {', '.join(present)}."
        )
    return torch.device(wanted)


def physical_cores() -> int:
    """Physical cores this process may use; hyper-threads gain nothing on convolutions.

    A container's share of the CPUs and the process's affinity are both respected.
    """
    import joblib
    import psutil

    usable = joblib.cpu_count()
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


def threads() -> int:
    """CPU threads for one process: the physical cores, at most ``NORMS_THREADS``."""
    value = os.environ.get("NORMS_THREADS", "").strip()
    if not value:
        return physical_cores()
    if not (value.isascii() and value.isdigit() and int(value)):  # "²" is a digit, but no number
        raise ValueError(f"NORMS_THREADS is {value!r}; set it to a whole number from 1 up.")
    return min(int(value), physical_cores())


def check_count(name: str, value: int | None) -> None:
    """Raise ``ValueError`` unless ``value`` is 1 or more, or None, which stands for a default."""
    if value is not None and value < 1:
        raise ValueError(f"{name} is {value}; it must be 1 or more.")


def tune_process(number_of_threads: int | None = None) -> None:
    """Set this process's threads and let it keep the memory that freed tensors leave behind.

    By default glibc hands every large freed block back to the system, and the next batch pays
    for fetching and zeroing the same pages again (``python -m common benchmark`` shows the gain).
    Elsewhere than on Linux with glibc only the threads are set. Call it before the training,
    never on import: it changes the whole process.
    """
    import torch

    check_count("threads", number_of_threads)
    torch.set_num_threads(number_of_threads or threads())
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # names in <malloc.h>
        libc.mallopt(mmap_threshold, 32 << 20)
        libc.mallopt(trim_threshold, 1 << 30)
        libc.mallopt(top_pad, 64 << 20)


def device_name(device: torch.device) -> str:
    """What a table says of the device: the GPU's name, or the processor's."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line for line in lines if line.startswith("model name")).split(": ", 1)[1]
    return f"CPU ({model})"
