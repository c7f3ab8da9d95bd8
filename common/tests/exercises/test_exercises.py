"""Stubs and solutions in the lessons are kept in step: each solution passes its check."""

from __future__ import annotations

import ast
import json
import re

import pytest
import torch
from torch import nn

from common.settings import ROOT

NOTEBOOKS = {
    "common": "Why_Normalise.ipynb",
    "Batch-Norm": "Cifar_10_BN.ipynb",
    "Group-Norm": "Cifar_10_GN.ipynb",
    "Layer-Norm": "Cifar_10_LN.ipynb",
}
CHECK = re.compile(r"^check_\w+\(.*\)$")
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```.*?</details>", re.DOTALL)
HINT = re.compile(r"<details><summary>Hint</summary>\s*\S.*?</details>", re.DOTALL)


def exercises(lesson):
    """(card, code, what follows) of every exercise of a lesson: the sources of three cells."""
    path = ROOT / lesson / NOTEBOOKS[lesson]
    if not path.exists():
        pytest.skip(f"{lesson} has no notebook yet")
    cells = [
        (cell["cell_type"], "".join(cell["source"]))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    found = []
    for k, (kind, source) in enumerate(cells):
        if kind != "code":
            continue
        is_exercise = CHECK.match(source.strip().splitlines()[-1]) if source.strip() else None
        if is_exercise:
            around = [*cells[k - 1 : k], *cells[k + 1 : k + 2]]
            assert [kind for kind, _ in around] == ["markdown", "markdown"], source
            found.append((around[0][1], source, around[1][1]))
        else:
            assert "raise NotImplementedError" not in source, "a stub without a check"
    return found


def run(code, namespace):
    """Run a cell and return the value of its last line, as a notebook would show it."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    exec(compile(tree, "cell", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)


def solution_of(text):
    blocks = SOLUTION.findall(text)
    assert len(blocks) == 1, f"expected one ```python block under Solution, found {len(blocks)}"
    return blocks[0]


@pytest.mark.parametrize("lesson", [name for name in NOTEBOOKS if name != "common"])
def test_each_lesson_has_three_to_five_exercises_of_every_kind(lesson):
    found = exercises(lesson)
    assert 3 <= len(found) <= 5
    assert sum("Find the bug" in card for card, _, _ in found) == 1
    assert sum("Predict" in card for card, _, _ in found) == 1


@pytest.mark.parametrize("lesson", NOTEBOOKS)
def test_each_exercise_says_how_hard_it_is_and_has_a_hint_and_a_solution(lesson):
    found = exercises(lesson)
    assert found
    for card, _, after in found:
        title = card.splitlines()[0]
        assert re.search(r"●○○|●●○|●●●", title), title
        assert re.search(r"\d+ minutes", title), title
        assert HINT.search(after), title
        assert solution_of(after), title


@pytest.mark.parametrize("lesson", NOTEBOOKS)
def test_as_committed_an_exercise_waits_for_its_learner(lesson):
    for card, code, _ in exercises(lesson):
        verdict = run(code, {"torch": torch, "nn": nn})
        assert not verdict.right, card
        # A function with a bug to find is an answer already, and a wrong one.
        assert verdict.attempted == ("raise NotImplementedError" not in code), card
        assert verdict.attempted == ("Find the bug" in card), card
        assert verdict.reveal == (not verdict.attempted), card


@pytest.mark.parametrize("lesson", NOTEBOOKS)
def test_each_solution_in_the_stubs_place_passes_its_check(lesson):
    for card, code, after in exercises(lesson):
        namespace = {"torch": torch, "nn": nn}
        run(code, namespace)
        solution, check = solution_of(after), code.strip().splitlines()[-1]
        verdict = run(f"{solution}\n{check}", namespace)
        assert verdict.right, f"{card}\n{verdict}"
