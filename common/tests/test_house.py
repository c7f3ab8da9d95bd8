"""The plan of the house: an import goes to a lower floor, and never in a circle."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from common.settings import ROOT

HOUSE = ROOT / "common"
FLOORS = (
    {"settings", "files", "frontends", "lesson", "norms", "exercises"},
    {"data", "networks"},
    {"training"},
    {"visualisation"},
    {"experiments"},
    {"reports"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = [p for p in HOUSE.rglob("*.py") if "tests" not in p.relative_to(HOUSE).parts]
ALONE = ("exercises", "lesson")  # rooms that import nothing else of the course, not even from below


def module(path: Path) -> str:
    """``common.data.images`` for its file, ``common.data`` for the room's ``__init__.py``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path) for path in FILES}


def imports(path: Path) -> set[str]:
    """The modules of the course that a file imports anywhere, also inside functions.

    What only a type checker sees is left out: it can join files in a circle, and no import does.
    """
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    unseen = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            parts = {f"{base}.{name.name}" for name in node.names} & MODULES
            found |= parts
            if len(parts) < len(node.names):
                found.add(base)
    return found & MODULES - {"common"}


def room(name: str) -> str:
    return name.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_go_to_a_lower_floor_or_stay_in_their_room(path):
    here = room(module(path)) if path.parent != HOUSE or path.name != "__init__.py" else None
    for other in imports(path):
        there = room(other)
        if here is None:
            pytest.fail(f"common/__init__.py imports {other}")
        if there == here:
            continue
        assert here not in ALONE, f"{here} imports {other}: it is to stand alone"
        assert FLOOR[there] < FLOOR[here], f"{module(path)} imports {other}: not a lower floor"


def test_no_imports_run_in_a_circle():
    graph = {module(path): imports(path) for path in FILES if path.name != "__init__.py"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("imports in a circle: " + " → ".join(error.args[1]))


def test_the_readme_shows_every_room_on_its_floor():
    page = (HOUSE / "README.md").read_text(encoding="utf-8")
    shown = [
        (name, int(floor) - 1)
        for floor, names in re.findall(r"^\| (\d) \| (.*?) \|", page, re.MULTILINE)
        for name in re.findall(r"\[(\w+)(?:\.py)?\]|`(\w+)\.py`", names)
    ]
    assert {(one or other, floor) for (one, other), floor in shown} == set(FLOOR.items())


def test_every_file_has_its_floor():
    assert {room(name) for name in MODULES if name != "common"} == set(FLOOR)


@pytest.mark.parametrize("name", sorted(FLOOR))
def test_a_room_says_what_is_in_each_of_its_files(name):
    folder = HOUSE / name
    if not folder.is_dir():
        pytest.skip("one file")
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    missing = [p.name for p in folder.glob("[!_]*.py") if f"`{p.stem}" not in text]
    assert not missing, f"common/{name}/__init__.py does not say what is in {missing}"


def test_a_room_is_entered_by_its_door():
    """A file imports another room, ``from common.data import …``, not a file inside it."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in MODULES:
                inside = node.module.count(".") > 1 and room(node.module) != room(module(path))
                assert not inside, f"{path}: {node.module}"
