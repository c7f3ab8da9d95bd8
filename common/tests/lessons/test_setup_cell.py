"""The lessons' first code cell finds the course from wherever a notebook may be started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.lesson import EDITION
from common.settings import ROOT

NOTEBOOKS = {
    "common": "Why_Normalise.ipynb",
    "Batch-Norm": "Cifar_10_BN.ipynb",
    "Group-Norm": "Cifar_10_GN.ipynb",
    "Layer-Norm": "Cifar_10_LN.ipynb",
}
CLOSING = "Compare_and_Choose.ipynb"  # in common as well
# Asks the state the cell leaves behind. Where a module would be imported from is enough to know:
# nbval runs the lessons whole, with their imports.
PROBE = """
import importlib.util, json
print(json.dumps({
    "cwd": os.getcwd(),
    "path": sys.path,
    "model": getattr(importlib.util.find_spec("model"), "origin", None),
    "common": importlib.util.find_spec("common").origin,
}))
"""


def setup_cell(lesson: str, name: str = "") -> str:
    notebook = ROOT / lesson / (name or NOTEBOOKS[lesson])
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))


def git(*arguments: str | Path, folder: Path) -> None:
    subprocess.run(["git", *map(str, arguments)], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def course(tmp_path) -> Path:
    """A small stand-in with the course's layout, as a git repository, in a path with spaces."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    root = tmp_path / "my copy of" / "the course"
    for lesson in NOTEBOOKS:
        (root / lesson / "results").mkdir(parents=True)
        for name in ("model", "utils") if lesson != "common" else ():
            (root / lesson / f"{name}.py").write_text(f"LESSON = {lesson!r}")
    (root / "common" / "__init__.py").touch()
    shutil.copy(ROOT / "common" / "lesson.py", root / "common")
    git("init", "--quiet", folder=root)
    git("add", ".", folder=root)
    author = ("-c", "user.name=a learner", "-c", "user.email=learner@example.org")
    git(*author, "commit", "--quiet", "-m", "The course", folder=root)
    return root


def run(
    cell: str, cwd: Path, fetch_from: Path | None = None, **more: str
) -> subprocess.CompletedProcess:
    """Run ``cell`` in a fresh interpreter, its clone address led to ``fetch_from``."""
    address = next(word for word in cell.split('"') if word.startswith("https://"))
    # A folder that is not there, so that no test ever asks the network.
    source = fetch_from or cwd / "no such repository"
    environment = (
        os.environ
        | {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{source.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": address,
        }
        | more
    )
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
    if lesson == "common":
        # Its rooms must not pass for modules called data or norms.
        assert state["model"] is None
        assert str(root / "common") not in state["path"]
    else:
        assert Path(state["model"]).resolve() == (root / lesson / "model.py").resolve()
    assert Path(state["common"]).resolve() == (root / "common" / "__init__.py").resolve()
    assert len(state["path"]) == len(set(state["path"]))


def test_the_cell_is_the_same_in_every_lesson():
    cells = [
        setup_cell(lesson).replace(f'COURSE = "{lesson}"', 'COURSE = "…"') for lesson in NOTEBOOKS
    ]
    assert cells[0].count('"…"') == 1
    assert cells[1:] == cells[:1] * (len(NOTEBOOKS) - 1)
    assert setup_cell("common", CLOSING) == setup_cell("common")


@pytest.mark.parametrize("lesson", NOTEBOOKS)
@pytest.mark.parametrize("folder", ["{lesson}", ".", "{lesson}/results", "Layer-Norm"])
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


def assert_one_sentence(outcome: subprocess.CompletedProcess, *words: str) -> None:
    assert outcome.returncode != 0
    assert "Traceback" not in outcome.stderr
    last = outcome.stderr.splitlines()[-1]
    for word in words:
        assert word in last


def test_says_what_to_do_when_the_course_cannot_be_fetched(tmp_path):
    empty = tmp_path / "an empty folder"
    empty.mkdir()
    outcome = run(setup_cell("Batch-Norm"), empty)
    assert_one_sentence(outcome, "Could not fetch ", "open the notebook of https://")


def test_says_what_to_do_without_git(tmp_path):
    empty = tmp_path / "no git here"
    empty.mkdir()
    outcome = run(setup_cell("Group-Norm"), empty, PATH=str(empty))
    assert_one_sentence(outcome, "Could not fetch ", "open the notebook of https://")


@pytest.mark.parametrize("content", [".git/HEAD", "Batch-Norm/model.py"])
def test_a_copy_that_is_old_or_was_cut_off_is_said_at_once(course, tmp_path, content):
    old = tmp_path / "work" / "cifar10-norms" / content
    old.parent.mkdir(parents=True)
    old.write_text("ref: refs/heads/main")
    outcome = run(setup_cell("Batch-Norm"), tmp_path / "work", fetch_from=course)
    assert_one_sentence(
        outcome, f"Could not fetch {tmp_path / 'work' / 'cifar10-norms'}: delete it if"
    )
    assert old.exists()


def test_an_empty_left_over_folder_is_filled(course, tmp_path):
    left = tmp_path / "work" / "cifar10-norms"
    left.mkdir(parents=True)
    outcome = run(setup_cell("Batch-Norm"), tmp_path / "work", fetch_from=course)
    assert_ready(outcome, left, "Batch-Norm")


def test_a_notebook_of_another_edition_is_told_so(course):
    cell = setup_cell("Layer-Norm").replace(f"edition={EDITION}", f"edition={EDITION + 1}")
    assert_one_sentence(run(cell, course), str(course), "different editions")


def test_the_notebooks_are_of_the_present_edition():
    assert f"edition={EDITION}" in setup_cell("Batch-Norm")


SAY = "\nimport model, utils\nprint(model.LESSON, utils.LESSON)\n"


def test_two_lessons_in_one_kernel_have_their_own_modules(course):
    cells = [setup_cell(lesson) + SAY for lesson in ("Batch-Norm", "Group-Norm")]
    outcome = run("".join(cells), course)
    assert outcome.stdout.splitlines()[:2] == ["Batch-Norm Batch-Norm", "Group-Norm Group-Norm"]
    assert_ready(outcome, course, "Group-Norm")


@pytest.mark.parametrize("origin", ["file", "nowhere"])
def test_modules_of_the_same_names_from_elsewhere_are_left(course, tmp_path, origin):
    other = tmp_path / "start-up"
    (other / "common").mkdir(parents=True)
    for name in ("utils.py", "model.py", "common/__init__.py", "common/settings.py"):
        (other / name).write_text("LESSON = 'none'")
    bring = {
        "file": f"import sys; sys.path.insert(0, {str(other)!r})\nimport utils, common.settings\n",
        "nowhere": "import sys, types; sys.modules['utils'] = types.ModuleType('utils')\n",
    }
    say = SAY + "import common, sys; print(common.__file__, 'common.settings' in sys.modules)\n"
    outcome = run(bring[origin] + setup_cell("Layer-Norm") + say, course)
    said = outcome.stdout.splitlines()
    assert said[:2] == ["Layer-Norm Layer-Norm", f"{course / 'common' / '__init__.py'} False"]


def test_run_again_the_cell_keeps_the_modules_that_are_in_use(course):
    cell = setup_cell("Batch-Norm")
    keep = "\nimport model, common\nbefore = model, common\n"
    outcome = run(cell + keep + cell + "\nimport model\nprint(before == (model, common))", course)
    assert outcome.stdout.splitlines()[0] == "True", outcome.stderr
