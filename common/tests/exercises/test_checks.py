"""The checks reject every wrong answer with a hint that fits, and accept every right one."""

from __future__ import annotations

import contextlib
import functools
import html
import io
import re
import signal
import sys
import time
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from common import exercises as checks
from common.exercises.errors import hint_for
from common.exercises.gradient import BatchNormGradient
from common.exercises.inputs import LAYOUTS, alike, sample
from common.exercises.search import some_values
from common.exercises.statistics import Statistics
from common.exercises.whole_norms import Normalised, RootMeanSquare
from common.tests.exercises import clinic_mutants
from common.tests.exercises.answers import eps_outside, norm_answer, unbiased, without_gradient
from common.tests.exercises.layer_mutants import RightBatchNorm
from common.tests.exercises.mutants import MUTANTS
from common.tests.exercises.variants import VARIANTS

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


def test_a_function_without_gamma_and_beta_gets_no_hint_about_them():
    hints = [verdict_on(k).hint for k, m in enumerate(MUTANTS) if m.check is checks.check_normalise]
    assert hints
    assert not [hint for hint in hints if "gamma" in hint or "beta" in hint]


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


@pytest.mark.parametrize(
    "odd",
    [
        lambda x: x.long(),
        lambda x: x > 0,
        lambda x: x.sin(),
        lambda x: x.sin()[None],
        lambda x: x.transpose(0, 1).flatten(1).mean(1) ** 3,
        lambda x: x.flatten(1).mean(1) ** 3,
        lambda x: x[:0],
    ],
)
def test_an_error_of_ours_is_never_told_as_one_of_the_learners(odd):
    for check in (
        checks.check_batch_statistics,
        checks.check_group_statistics,
        checks.check_layer_statistics,
        checks.check_batch_norm,
        checks.check_group_norm,
        checks.check_channel_norm,
        checks.check_token_norm,
        checks.check_rms_norm,
        checks.check_batch_norm_gradient,
    ):
        two = check.__name__.endswith("statistics")
        verdict = check(lambda x, *_, two=two: (odd(x), odd(x)) if two else odd(x))
        assert verdict.line or not verdict.symptom.startswith("Your code stopped"), verdict


def test_a_check_prints_nothing_and_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for answer in [a for a in (*VARIANTS, *MUTANTS) if a.name != "debug prints"][::17]:
            answer.check(answer.answer)
    assert out.getvalue() == err.getvalue() == ""
    assert torch.equal(torch.get_rng_state(), state)


def test_an_answer_that_ends_the_program_ends_nothing():
    def normalise(x, axes, eps):
        sys.exit("done")

    verdict = checks.check_normalise(normalise)
    assert "Your code stopped with SystemExit: done" in repr(verdict)


def test_a_layer_that_refuses_an_eps_of_0_has_a_way_out():
    """Newer versions of PyTorch do; a prediction may be made with its layer."""
    error = ValueError("batch_norm eps must be positive during training, but got 0")
    assert "1e-12" in hint_for(error, "Line 4 of the cell: y = layer(x)", "batch", "look")


def test_a_list_of_a_tensors_numbers_as_an_index_is_named():
    """Newer versions of PyTorch may take it; until then one index an axis is meant."""
    error = IndexError("too many indices for tensor of dimension 1")
    line = "Line 4 of the cell: new[name] = state[name][list(order)]"
    assert "a list of tensors" in hint_for(error, line, "network", "look")


def test_find_the_bug_tells_the_symptom_and_keeps_the_cause_to_itself():
    answer = norm_answer("batch", statistics=without_gradient)
    open_verdict = checks.check_batch_norm(answer)
    closed_verdict = checks.check_batch_norm(answer, reveal=False)
    assert "no_grad" in repr(open_verdict)
    assert "no_grad" not in repr(closed_verdict)
    assert open_verdict.symptom in " ".join(repr(closed_verdict).split())
    assert closed_verdict.hint == open_verdict.hint
    assert checks.check_batch_norm(norm_answer("batch"), reveal=False).right


@pytest.mark.parametrize(
    "answer",
    [
        norm_answer("batch", statistics=unbiased),
        norm_answer("batch", finish=eps_outside),
        stub,
        None,
    ],
)
def test_find_the_bug_helps_with_a_mistake_that_nobody_planted(answer):
    verdict = checks.check_batch_norm(answer, reveal=False)
    assert verdict.reveal
    assert "folded" not in repr(verdict)


def test_the_clinic_keeps_its_usual_mistake_to_itself_and_helps_with_others():
    def in_train_mode(network):
        for norm in clinic_mutants.norms(network):
            norm.requires_grad_(False)

    checked = functools.partial(checks.check_frozen_statistics, reveal=False)
    assert not checked(in_train_mode).reveal
    assert checked(clinic_mutants.freeze_statistics_only).reveal
    assert checked(clinic_mutants.freeze).right
    usual = {
        checks.check_still_frozen: clinic_mutants.epoch(lambda network: network.train()),
        checks.check_re_estimated_statistics: clinic_mutants.estimate(reset=False, momentum=0.1),
        checks.check_mixed_batches: clinic_mutants.in_order,
        checks.check_no_batch_of_one: clinic_mutants.in_order,
        checks.check_channels_in_order: clinic_mutants.load(running=False),
    }
    for check, mistake in usual.items():
        assert check(mistake).reveal
        assert not check(mistake, reveal=False).reveal


def test_a_message_gives_numbers_of_the_learner_and_the_right_ones():
    verdict = checks.check_batch_statistics(lambda x: (x.mean((0, 2, 3)), x.var((0, 2, 3))))
    assert "variance is wrong: at [" in repr(verdict)
    assert repr(verdict).startswith("✗ ")
    assert "\n  Hint: " in repr(verdict)
    assert max(map(len, repr(verdict).splitlines())) <= 92
    right = checks.check_batch_norm(norm_answer("batch"))
    assert repr(right).startswith("✓ Right")


TASKS = [
    *(Statistics(layout) for layout in ("batch", "group", "image")),
    *(Normalised(layout) for layout in LAYOUTS),
    RootMeanSquare("tokens"),
    BatchNormGradient("batch"),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{type(task).__name__}-{task.layout}")
def test_the_known_mistakes_can_be_told_apart(task):
    """Each mistake, and the right way, gives another result on the inputs that the checks use."""
    usual = sample(task.layout)
    inputs = (
        usual,
        replace(usual, x=usual.x / 100, eps=1e-4),
        replace(usual, gamma=usual.gamma - 1.2),
        replace(usual, x=usual.x / 1000),
    )
    for i in inputs:
        assert alike(task.by(task.right_way, i), task.expected(i))
    known = [({}, "right"), *task.mistakes(), *task.rare_mistakes()]
    results = [[task.by(replace(task.right_way, **c), i) for i in inputs] for c, _ in known]
    # What differs in some of its values differs; of the rest all values are compared.
    some = torch.stack([torch.cat([some_values(r) for r in result]) for result in results])
    pairs = torch.broadcast_tensors(some[:, None], some)
    close = torch.isclose(*pairs, 3e-3, 3e-4, equal_nan=True).flatten(2).all(2)
    for k, other in close.triu(1).nonzero().tolist():
        same = all(map(alike, results[k], results[other]))
        assert not same or known[k][1] == known[other][1], (known[k][1], known[other][1])


def test_the_table_of_wrong_answers_has_a_line_for_each():
    some = MUTANTS[::9]
    lines = checks.mutant_table(some).splitlines()
    assert len(lines) == 2 + len(some)
    for line, mutant in zip(lines[2:], some, strict=True):
        assert line.startswith(mutant.name)
        assert mutant.check.__name__ in line
        assert any(words in line for words in mutant.words)


# What surrounds a check: prints, warnings, time, the line that failed, modes


def test_what_a_learner_prints_and_warns_of_is_seen_once(capsys):
    def answer(x):
        print("mean", x.mean().item())
        warnings.warn("mind the step", stacklevel=1)
        return x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)

    with pytest.warns(UserWarning, match="mind the step") as seen:
        assert checks.check_batch_statistics(answer)
    assert len(seen) == 1
    assert capsys.readouterr().out.count("mean") == 1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this platform has no alarm")
@pytest.mark.parametrize("caught", [False, True])
def test_an_answer_that_never_ends_is_stopped(monkeypatch, caught):
    def answer(x):
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                if not caught:
                    raise

    monkeypatch.setattr("common.exercises.learner.LIMIT", 0.05)
    verdict = checks.check_batch_statistics(answer)
    assert "more than 0.05 seconds" in verdict.symptom
    assert "loop" in verdict.hint
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_the_line_that_failed_is_quoted_with_its_number():
    def answer(x):
        return x.mean((0, 2, 3)), x.reshape(7, 7)

    verdict = checks.check_batch_statistics(answer)
    line = answer.__code__.co_firstlineno + 1
    assert verdict.line.startswith(f"Line {line} of test_checks.py: return x.mean(")
    assert verdict.line in repr(verdict)
    assert "invalid for input of size" in verdict.symptom


def test_a_message_of_several_lines_is_told_whole():
    def answer(x):
        raise RuntimeError(
            "Error(s) in loading:\n\tMissing key: weight.\n\tSize mismatch for bias."
        )

    symptom = checks.check_batch_statistics(answer).symptom
    assert "Missing key: weight. Size mismatch for bias." in symptom


@pytest.mark.parametrize(
    "mode",
    [torch.inference_mode, torch.no_grad, lambda: default_dtype(torch.float64)],
    ids=["inference mode", "no_grad", "float64"],
)
def test_a_check_does_not_care_for_the_callers_modes(mode):
    with mode():
        for answer in [*VARIANTS, *MUTANTS][::37]:
            assert answer.check(answer.answer).right == (answer in VARIANTS), answer.name


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        assert torch.get_default_dtype() == dtype
        torch.set_default_dtype(before)


def docstring_only(*_):
    """Nothing there yet."""


def given_line_and_raise(*_):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [docstring_only, given_line_and_raise])
def test_an_empty_function_is_not_attempted(answer):
    assert not checks.check_batch_statistics(answer).attempted
    assert not checks.check_batch_norm_prediction(answer).attempted


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((31, 2048, 64), "a count is exact"),
        ((32, 2047, 64), "a count is exact"),
        ((32, 50, 64), "the set S"),
        ((2048, 32, 64), "their order is not"),
        ((32, 2048, 0), "count gamma and beta"),
    ],
)
def test_a_count_must_be_exact(numbers, words):
    verdict = checks.check_group_norm_prediction(lambda: numbers)
    assert not verdict
    assert words in verdict.hint


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0.4, 1.6, -1.34, 0.48), "not precise enough"),
        ((0.4, 1.57, 1.34, 0.48), "the sign"),
        ((0.4, 1.57, -1.34, "nan"), "give a number"),
        ((0.4, 1.57, 0.48, -1.34), "their order is not"),
    ],
)
def test_a_number_must_be_near_enough(numbers, words):
    verdict = checks.check_batch_norm_prediction(lambda: numbers)
    assert not verdict
    assert words in verdict.hint


def test_a_verdict_in_html_says_the_same_and_hides_no_sign():
    verdict = checks.Verdict("wrong", "x < 1 & y", "a > b", line="Line 3: x < 1")
    text = html.unescape(re.sub(r"<[^>]+>", " ", verdict._repr_html_()))
    for words in ("x < 1 & y", "Hint: a > b", "Line 3: x < 1"):
        assert words in text
    assert "<b>✗</b> x &lt; 1 &amp; y" in verdict._repr_html_()


NOTEBOOK = """
from common.exercises import check_batch_statistics
def answer(x):
    return x.mean((0, 2, 3)), x.var((0, 2, 3))
"""


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("check_batch_statistics(answer)", 1),
        ("check_batch_statistics(answer);", 1),
        ("v = check_batch_statistics(answer)\n1 + 1", 1),
        ("v = check_batch_statistics(answer)", 1),
        ("for _ in range(2): check_batch_statistics(answer)", 2),
        ("v", 1),
    ],
)
def test_a_notebook_shows_a_verdict_once_wherever_the_check_stands(shell, cell, shown):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        shell.run_cell(NOTEBOOK + "v = check_batch_statistics(answer)", store_history=True)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        shell.run_cell(cell, store_history=True).raise_error()
    assert out.getvalue().count("✗ The variance is wrong") == shown
