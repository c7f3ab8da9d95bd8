"""Stubs and solutions in the lessons are kept in step: each solution passes its check."""

from __future__ import annotations

import ast
import json
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

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
    """(card, code, hint and solution) of every exercise of a lesson.

    Hint and solution are folded in the card, or in the cell after the code.
    """
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
            card, after = (text for _, text in around)
            card = card[card.index("### ") :]  # a section may end in the same cell
            found.append((card, source, card if SOLUTION.search(card) else after))
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
def test_each_lesson_has_exercises_of_every_kind(lesson):
    titles = [card.splitlines()[0] for card, _, _ in exercises(lesson)]
    numbered = [title for title in titles if title.startswith("### Exercise ")]
    assert 3 <= len(numbered) <= 6
    assert sum("Find the bug" in title for title in titles) == 1
    assert sum("Predict" in title for title in titles) == 1
    patients = [title for title in titles if title.startswith("### Patient ")]
    assert len(numbered) + len(patients) == len(titles)
    assert len(patients) == (6 if lesson == "Batch-Norm" else 0)


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
        verdict = run(code, {"torch": torch, "nn": nn, "F": F})
        assert not verdict.right, card
        # A function with a bug to find is an answer already, and a wrong one.
        given = "Find the bug" in card or card.startswith("### Patient ")
        assert verdict.attempted == ("raise NotImplementedError" not in code), card
        assert verdict.attempted == given, card
        assert verdict.reveal == (not verdict.attempted), card


@pytest.mark.parametrize("lesson", NOTEBOOKS)
def test_each_solution_in_the_stubs_place_passes_its_check(lesson):
    for card, code, after in exercises(lesson):
        namespace = {"torch": torch, "nn": nn, "F": F}
        run(code, namespace)
        solution, check = solution_of(after), code.strip().splitlines()[-1]
        verdict = run(f"{solution}\n{check}", namespace)
        assert verdict.right, f"{card}\n{verdict}"
