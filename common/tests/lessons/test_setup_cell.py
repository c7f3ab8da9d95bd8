"""The lessons' first code cell finds the course from wherever a notebook may be started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.settings import ROOT

NOTEBOOKS = {
    "Batch-Norm": "Cifar_10_BN.ipynb",
    "Group-Norm": "Cifar_10_GN.ipynb",
    "Layer-Norm": "Cifar_10_LN.ipynb",
}
# Asks the state the cell leaves behind. Where a module would be imported from is enough to know:
# nbval runs the lessons whole, with their imports.
PROBE = """
import importlib.util, json
print(json.dumps({
    "cwd": os.getcwd(),
    "path": sys.path,
    "model": importlib.util.find_spec("model").origin,
    "common": importlib.util.find_spec("common").origin,
}))
"""


def setup_cell(lesson: str) -> str:
    notebook = ROOT / lesson / NOTEBOOKS[lesson]
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))


def git(*arguments: str | Path, folder: Path) -> None:
    subprocess.run(["git", *map(str, arguments)], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def course(tmp_path) -> Path:
    """A small stand-in with the course's layout, as a git repository, in a path with spaces."""
    root = tmp_path / "my copy of" / "the course"
    for lesson in NOTEBOOKS:
        (root / lesson / "results").mkdir(parents=True)
        (root / lesson / "model.py").touch()
    (root / "common").mkdir()
    (root / "common" / "__init__.py").touch()
    git("init", "--quiet", folder=root)
    git("add", ".", folder=root)
    author = ("-c", "user.name=a learner", "-c", "user.email=learner@example.org")
    git(*author, "commit", "--quiet", "-m", "The course", folder=root)
    return root


def run(cell: str, cwd: Path, fetch_from: Path | None = None) -> subprocess.CompletedProcess:
    """Run ``cell`` in a fresh interpreter, its clone address led to ``fetch_from``."""
    address = next(word for word in cell.split('"') if word.startswith("https://"))
    # A folder that is not there, so that no test ever asks the network.
    source = fetch_from or cwd / "no such repository"
    environment = os.environ | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{source.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
    }
    return subprocess.run(
        # Isolated, so that neither the working directory nor PYTHONPATH does the cell's work.
        [sys.executable, "-I", "-c", cell + PROBE],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


def assert_ready(outcome: subprocess.CompletedProcess, root: Path, lesson: str) -> None:
    assert outcome.returncode == 0, outcome.stderr
    state = json.loads(outcome.stdout.splitlines()[-1])
    assert Path(state["cwd"]).resolve() == (root / lesson).resolve()
    assert Path(state["model"]).resolve() == (root / lesson / "model.py").resolve()
    assert Path(state["common"]).resolve() == (root / "common" / "__init__.py").resolve()
    assert len(state["path"]) == len(set(state["path"]))


def test_the_cell_is_the_same_in_every_lesson():
    cells = [setup_cell(lesson).replace(f'"{lesson}"', '"…"') for lesson in NOTEBOOKS]
    assert cells[0].count('"…"') == 1
    assert cells[1:] == cells[:1] * 2


@pytest.mark.parametrize("lesson", NOTEBOOKS)
@pytest.mark.parametrize("folder", ["{lesson}", ".", "{lesson}/results", "common"])
def test_finds_the_course_it_is_in(lesson, folder, course):
    outcome = run(setup_cell(lesson), course / folder.format(lesson=lesson))
    assert_ready(outcome, course, lesson)


@pytest.mark.parametrize("lesson", NOTEBOOKS)
def test_fetches_the_course_into_an_empty_folder_once(lesson, course, tmp_path):
    empty = tmp_path / "an empty folder"
    empty.mkdir()
    cell = setup_cell(lesson)
    assert_ready(run(cell, empty, fetch_from=course), empty / "cifar10-norms", lesson)
    # After the kernel's restart the copy is there: nothing is fetched again.
    assert_ready(run(cell, empty), empty / "cifar10-norms", lesson)


def test_running_the_cell_again_changes_nothing(course):
    cell = setup_cell("Batch-Norm")
    assert_ready(run(f"{cell}\n{cell}", course), course, "Batch-Norm")


def test_takes_the_notebook_s_place_from_vs_code(course, tmp_path):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    notebook = course / "Batch-Norm" / NOTEBOOKS["Batch-Norm"]
    cell = f"__vsc_ipynb_file__ = {str(notebook)!r}\n" + setup_cell("Batch-Norm")
    assert_ready(run(cell, workspace), course, "Batch-Norm")
    assert list(workspace.iterdir()) == []


def test_says_what_to_do_when_the_course_cannot_be_fetched(tmp_path):
    empty = tmp_path / "an empty folder"
    empty.mkdir()
    outcome = run(setup_cell("Batch-Norm"), empty)
    assert outcome.returncode != 0
    assert "Could not fetch https://" in outcome.stderr
    assert "open the notebook in the course's folder" in outcome.stderr
