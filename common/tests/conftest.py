"""What every unit test shares: a calm process, and the lessons' same-named modules by path."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from types import SimpleNamespace

import hypothesis
import joblib
import matplotlib
import psutil
import pytest
import torch

# In this process only: an exported MPLBACKEND would hide the figures in the lessons' kernels.
matplotlib.use("Agg")

# The lessons keep what they train. A test must not find what an earlier one has trained, nor a
# reader's runs. Set before common.settings is imported; the lessons' kernels inherit it.
if "NORMS_RUNS" not in os.environ:
    os.environ["NORMS_RUNS"] = tempfile.mkdtemp(prefix="norms-runs-")
    atexit.register(shutil.rmtree, os.environ["NORMS_RUNS"], ignore_errors=True)

# Threads of several processes fight for the cores, and on a busy machine two of them can be many
# times slower than one. The lessons' kernels inherit this.
os.environ.setdefault("NORMS_THREADS", "1")

# A slow or busy machine is no failure, and a failure found once must come back on the next run.
hypothesis.settings.register_profile(
    "course", deadline=None, derandomize=True, database=None, print_blob=False
)
hypothesis.settings.load_profile("course")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """A process for each core, up to four, and 3 GB of memory for each."""
    room = psutil.virtual_memory().total // 3_000_000_000
    return max(1, min(joblib.cpu_count(), room, 4))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Under ``pytest -n``, keep a file's tests on one worker: a notebook's cells share a kernel.

    Any other way of distributing them that is asked for (``--dist``) is left alone.
    """
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Run a notebook's cells one after the other, whatever a plugin has shuffled."""
    cells: dict[pytest.Collector, list[pytest.Item]] = {}
    for item in items:
        if hasattr(item, "cell_num"):
            cells.setdefault(item.parent, []).append(item)
    ordered: list[pytest.Item] = []
    for item in items:
        if not hasattr(item, "cell_num"):
            ordered.append(item)
        elif item.parent in cells:
            ordered += sorted(cells.pop(item.parent), key=lambda cell: cell.cell_num)
    items[:] = ordered


@pytest.fixture(autouse=True, scope="module")
def on_the_processor():
    """Unit tests compute on the CPU, where a run repeats to the last bit; a GPU has its own file.

    The notebooks, which nbval runs, and that file take the fastest device there is.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMS_DEVICE", os.environ.get("NORMS_DEVICE") or "cpu")
        yield


@pytest.fixture(autouse=True)
def calm_process():
    """One thread and a known seed for each test, whatever the one before has set."""
    torch.set_num_threads(1)
    torch.default_generator.manual_seed(0)  # of the CPU alone: asking for every device takes time
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="module")
def shell():
    """IPython's shell for the tests of a file; it would change what others print."""
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactive.InteractiveShell.instance()
    yield shell
    interactive.InteractiveShell.clear_instance()


@pytest.fixture
def few_images(monkeypatch):
    """Quick mode in this process with two batches to train on: enough where no result matters."""
    from common.data import images

    monkeypatch.setattr(images, "QUICK_TRAIN", 64)
    monkeypatch.setattr(images, "QUICK_TEST", 40)


@pytest.fixture
def lesson_modules():
    """Import the ``model`` and ``utils`` of one lesson for the length of a block.

    Inside ``with lesson_modules("Batch-Norm") as lesson:`` the modules that a notebook of that
    lesson imports under these names are ``lesson.model`` and ``lesson.utils``. Every lesson has
    its own, so they are imported afresh for the block and forgotten after it.
    """
    from common.settings import ROOT

    @contextmanager
    def load(lesson: str):
        names = ("model", "utils")
        folder = str(ROOT / lesson)
        before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        sys.path.insert(0, folder)
        try:
            yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
        finally:
            sys.path.remove(folder)
            for name in names:
                sys.modules.pop(name, None)
            sys.modules.update(before)

    return load
