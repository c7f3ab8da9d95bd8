"""The checks reject every wrong answer with a hint that fits, and accept every right one."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from common import exercises as checks
from common.exercises.inputs import alike, sample
from common.exercises.mistakes import RIGHT_WAY
from common.exercises.tasks import Normalised, Statistics
from common.tests.exercises.mutants import MUTANTS, VARIANTS, RightBatchNorm, norm_answer

CHECKS = [value for name, value in vars(checks).items() if name.startswith("check_")]


def names(answers):
    return [f"{answer.check.__name__}-{answer.name}" for answer in answers]


@functools.cache
def verdict_on(k):
    """What the check says of the k-th wrong answer; several tests want to know."""
    return MUTANTS[k].check(MUTANTS[k].answer)


@pytest.mark.parametrize("k", [pytest.param(k, id=name) for k, name in enumerate(names(MUTANTS))])
def test_a_wrong_answer_is_rejected_with_a_hint_that_fits(k):
    verdict = verdict_on(k)
    assert verdict.state == "wrong", verdict
    assert any(words in verdict.hint for words in MUTANTS[k].words), verdict
    assert verdict.symptom


@pytest.mark.parametrize("variant", VARIANTS, ids=names(VARIANTS))
def test_a_right_answer_is_accepted_however_it_is_written(variant):
    verdict = variant.check(variant.answer)
    assert verdict.right, verdict


def test_every_check_meets_wrong_and_right_answers():
    for answers in (MUTANTS, VARIANTS):
        assert {answer.check for answer in answers} == set(CHECKS)


def test_two_mistakes_never_get_the_same_hint():
    """Else a hint would fit one of them at best. Mistakes of one kind expect the same words."""
    mistakes = {}
    for k, mutant in enumerate(MUTANTS):
        mistakes.setdefault((mutant.check, verdict_on(k).hint), set()).add(mutant.words)
    for (check, hint), words in mistakes.items():
        assert len(words) == 1, (check.__name__, hint, words)


def stub(*_, **__):
    raise NotImplementedError


class StubLayer(nn.Module):
    def __init__(self, *_, **__):
        super().__init__()
        raise NotImplementedError


class StubForward(RightBatchNorm):
    def forward(self, x):
        raise NotImplementedError


def test_a_stub_is_not_attempted_yet():
    for check in CHECKS:
        verdict = check(StubLayer if check.__name__.endswith(("layer", "layer_norm")) else stub)
        assert not verdict.attempted
        assert not verdict.right
        assert repr(verdict) == "○ Not attempted yet."
    assert not checks.check_batch_norm_layer(StubForward).attempted


def test_an_error_of_pytorch_is_no_stub():
    """PyTorch raises NotImplementedError as well, with a message."""

    def broken(x):
        raise NotImplementedError('"mean_cpu" not implemented')

    verdict = checks.check_batch_statistics(broken)
    assert verdict.state == "wrong"
    assert "mean_cpu" in verdict.symptom


def raises(error):
    def answer(*_, **__):
        raise error

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        raises(ValueError("a\nb")),
        raises(ZeroDivisionError()),
        raises(RecursionError("deep")),
        raises(KeyError(1)),
        None,
        7,
        "batch_norm",
        torch.zeros(2),
        torch.nn.ReLU(),
        torch.nn.ReLU,
        dict,
        lambda: 0,
        lambda *a: a[0],
        lambda *a: "text",
        lambda *a: (None, None),
        lambda *a: (1.0, 2.0),
        lambda *a: [[], []],
        lambda *a: (torch.zeros(()), torch.zeros(())),
        lambda *a: (torch.full((6,), float("nan")), torch.full((6,), float("inf"))),
        lambda *a: torch.full((5, 6, 3, 4), float("nan")),
        lambda *a: torch.zeros(5, 6, 3, 4, dtype=torch.int64),
        lambda *a: torch.zeros(5, 6, 3, 4, dtype=torch.complex64),
        lambda *a: torch.zeros(0),
        lambda *a: torch.zeros(5, 6, 3, 4, device="meta"),
    ],
)
def test_nothing_a_learner_writes_makes_a_check_raise_or_pass(answer):
    for check in CHECKS:
        assert check(answer).state == "wrong"


def test_a_check_prints_nothing_and_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for answer in [*VARIANTS, *MUTANTS][::7]:
            answer.check(answer.answer)
    assert out.getvalue() == err.getvalue() == ""
    assert torch.equal(torch.get_rng_state(), state)


def test_a_check_gives_the_same_verdict_under_no_grad():
    with torch.no_grad():
        for answer in [*VARIANTS, *MUTANTS][::5]:
            verdict = answer.check(answer.answer)
            assert verdict.right == (answer in VARIANTS), answer.name
        assert not torch.is_grad_enabled()


def test_find_the_bug_tells_the_symptom_and_keeps_the_cause_to_itself():
    answer = norm_answer("batch", statistics=lambda rows: (rows.mean(1), rows.var(1)))
    open_verdict = checks.check_batch_norm(answer)
    closed_verdict = checks.check_batch_norm(answer, reveal=False)
    assert "unbiased" in repr(open_verdict)
    assert "unbiased" not in repr(closed_verdict)
    assert open_verdict.symptom in " ".join(repr(closed_verdict).split())
    assert closed_verdict.hint == open_verdict.hint
    assert checks.check_batch_norm(norm_answer("batch"), reveal=False).right


def test_a_message_gives_numbers_of_the_learner_and_the_right_ones():
    verdict = checks.check_batch_statistics(lambda x: (x.mean((0, 2, 3)), x.var((0, 2, 3))))
    assert "variance is wrong: at [" in repr(verdict)
    assert repr(verdict).startswith("✗ ")
    assert "\n  Hint: " in repr(verdict)
    assert max(map(len, repr(verdict).splitlines())) <= 92
    right = checks.check_batch_norm(norm_answer("batch"))
    assert repr(right).startswith("✓ Right")


@pytest.mark.parametrize(
    "task",
    [
        *(Statistics(layout) for layout in ("batch", "group", "image")),
        *(Normalised(layout) for layout in ("batch", "group", "image", "channels")),
    ],
    ids=lambda task: f"{type(task).__name__}-{task.layout}",
)
def test_the_known_mistakes_can_be_told_apart(task):
    """Each mistake, and the right way, gives another result on the inputs that the checks use."""
    layout = task.layout
    usual = sample(layout)
    small = replace(usual, x=usual.x / 100, eps=1e-4)
    right = RIGHT_WAY[layout]
    ways = [({}, "right"), *task.mistakes()]
    for i in (usual, small):
        assert alike(task.by(right, i), task.expected(i))
    for (one, hint), (other, another) in itertools.combinations(ways, 2):
        if hint == another:
            continue
        same = all(
            alike(task.by(replace(right, **one), i), task.by(replace(right, **other), i))
            for i in (usual, small)
        )
        assert not same, (hint, another)


def test_the_table_of_wrong_answers_has_a_line_for_each():
    lines = checks.mutant_table(MUTANTS).splitlines()
    assert len(lines) == 2 + len(MUTANTS)
    for line, mutant in zip(lines[2:], MUTANTS, strict=True):
        assert line.startswith(mutant.name)
        assert mutant.check.__name__ in line
        assert any(words in line for words in mutant.words)
