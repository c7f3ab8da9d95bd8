"""The claims laboratory: its engine on a study that costs nothing, then every declared one."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import replace

import pytest

from common import cli
from common.experiments import laboratory
from common.experiments.field import FIELD
from common.experiments.laboratory.declare import (
    Cell,
    Contrast,
    Study,
    decades_of,
    fall_of,
    grid,
    label,
)
from common.experiments.laboratory.kept import Images, Kept, Line
from common.experiments.laboratory.runner import again, run_studies
from common.experiments.laboratory.verdicts import holm, judge, per_seed
from common.experiments.shipped import course_histories
from common.files import write_atomically
from common.reports.court import court_page, court_section
from common.reports.kept import Results
from common.reports.studies import study_figures, study_report
from common.settings import ROOT
from common.tests.experiments.toy_study import TOY

STUDIES = laboratory.STUDIES


def quiet(_):
    """Says nothing."""


def kept(study: Study, values: dict[str, list[float]], name: str = "test") -> Kept:
    """Results by condition, one a seed from 1 up."""
    lines = [
        Line(condition, seed, {name: value, "validation": value}, 1.0)
        for condition, row in values.items()
        for seed, value in enumerate(row, start=1)
    ]
    return Kept(study, Images("images"), [], lines)


def study_of(*contrasts: Contrast, tuned: str = "", **quantities) -> Study:
    return Study("x", "?", {}, grid(**quantities), None, contrasts, tuned=tuned)


def beats(smallest: float = 0.5) -> Contrast:
    words = "batch minus layer"
    return Contrast("c", words, Cell({"norm": "batch"}), Cell({"norm": "layer"}), smallest=smallest)


# The rule


@pytest.mark.parametrize(
    ("batch", "layer", "word"),
    [
        ([70.0, 70.1, 70.2], [60.0, 60.1, 60.2], "holds"),
        ([60.0, 60.1, 60.2], [70.0, 70.1, 70.2], "does not hold"),
        ([60.0, 60.1, 60.2], [60.0, 60.1, 60.2], "does not hold"),  # none of half a point
        ([60.0, 65.0, 70.0], [60.0, 63.0, 68.0], "not decided by this data"),
        ([70.0], [60.0], "not decided by this data"),  # one seed has no interval
        ([], [], "not run yet"),
    ],
)
def test_the_verdict_is_by_rule(batch, layer, word):
    study = study_of(beats(), norm=("batch", "layer"))
    (verdict,) = judge(kept(study, {"batch": batch, "layer": layer}))
    assert verdict.word == word
    assert (verdict.needed is not None) == (word.startswith("not decided") and len(batch) > 1)


def test_the_interval_is_welch_s():
    from common.experiments import compare_means

    batch, layer = [70.0, 71.0, 73.0], [69.0, 69.5, 69.7]
    study = study_of(beats(), norm=("batch", "layer"))
    (verdict,) = judge(kept(study, {"batch": batch, "layer": layer}))
    expected = compare_means(batch, layer)
    assert verdict[1:4] == pytest.approx(expected[:3])


def test_the_seeds_it_would_take_would_decide_it():
    study = study_of(beats(), norm=("batch", "layer"))
    # Twice as many of the same: the deviations stay, the interval shrinks.
    batch, layer = [60.0, 62.0, 64.0], [59.0, 60.0, 61.0]
    (verdict,) = judge(kept(study, {"batch": batch, "layer": layer}))
    times = -(-verdict.needed // 3)
    (later,) = judge(kept(study, {"batch": batch * (times + 1), "layer": layer * (times + 1)}))
    assert (verdict.word, later.word) == ("not decided by this data", "holds")


def test_conditions_are_reduced_to_how_far_apart_they_are():
    found = [({"gain": 1}, 40.0), ({"gain": 2}, 10.0), ({"gain": 3}, 25.0)]
    assert fall_of(found) == 30.0
    assert decades_of([({}, [0.01, 1.0]), ({}, [10.0])]) == pytest.approx(3)
    assert decades_of(found) == pytest.approx(0.60206)


def test_several_comparisons_are_corrected_by_holm():
    assert holm([0.04]) == [True]
    assert holm([0.04, 0.03]) == [False, False]
    assert holm([0.04, 0.02]) == [True, True]
    assert holm([0.2, 0.01, 0.024]) == [False, True, True]
    assert holm([float("nan"), 0.02]) == [False, True]
    assert holm([float("nan"), 0.03]) == [False, False]  # one not run yet was announced, too


def test_a_change_is_taken_seed_by_seed():
    cell = Cell({"norm": "batch", "size": 2}, minus={"size": 8})
    study = study_of(norm=("batch",), size=(2, 8))
    rows = {"batch/size=2": [60.0, 50.0], "batch/size=8": [70.0, 69.0, 40.0]}
    assert per_seed(kept(study, rows), cell) == {1: -10.0, 2: -19.0}


def test_a_rate_is_chosen_on_held_out_images_and_never_by_the_test_images():
    study = study_of(tuned="rate", norm=("batch",), rate=(0.1, 1.0))
    lines = [
        Line("batch/rate=0.1", 1, {"validation": 60, "test": 50}, 1.0),
        Line("batch/rate=1", 1, {"validation": 59, "test": 90}, 1.0),
    ]
    result = Kept(study, lines=lines)
    assert per_seed(result, Cell({"norm": "batch"})) == {1: 50}
    assert per_seed(result, Cell({"norm": "batch"}, every=True)) == {1: 70}
    result.lines = lines[:1]  # a choice among half of the rates is none
    assert per_seed(result, Cell({"norm": "batch"})) == {}


# The runner


def numbers(path):
    """A result file without what no two runs share: the seconds."""
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    return [head, *(line.rpartition(',"seconds"')[0] for line in lines)]


def test_the_file_does_not_tell_in_which_order_the_runs_ended(tmp_path):
    run_studies([TOY], tmp_path / "once", data="shapes", jobs=1, say=quiet)
    for seeds in ((2,), (1,), (2, 1)):
        run_studies([TOY], tmp_path / "parts", data="shapes", jobs=1, seeds=seeds, say=quiet)
    assert numbers(tmp_path / "once" / "toy.jsonl") == numbers(tmp_path / "parts" / "toy.jsonl")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_killed_five_times_the_file_is_the_same(tmp_path):
    whole, parts = tmp_path / "whole" / "toy.jsonl", tmp_path / "parts" / "toy.jsonl"
    run_studies([TOY], whole.parent, data="shapes", jobs=1, say=quiet)
    slow, chance, there = replace(TOY, measure=TOY.measure.slow), random.Random(0), [0]
    for _ in range(5):
        child = os.fork()
        if child == 0:
            try:  # whatever happens, a child must never go on as the tests
                run_studies([slow], parts.parent, data="shapes", jobs=1, say=quiet)
            finally:
                os._exit(0)
        while len(laboratory.load(TOY, parts).lines) == there[-1]:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        there.append(len(laboratory.load(TOY, parts).lines))
    assert there[1:] == sorted(set(there[1:]))  # each got further than the one before
    assert there[-1] < len(numbers(whole)) - 1
    run_studies([TOY], parts.parent, data="shapes", jobs=1, say=quiet)
    assert numbers(parts) == numbers(whole)


def test_what_is_there_is_not_run_again(tmp_path):
    run_studies([TOY], tmp_path, data="shapes", jobs=1, say=quiet)
    said = []
    run_studies([TOY], tmp_path, data="shapes", jobs=1, say=said.append)
    assert said == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": [2**63]}, "from 0 to below"),
        ({"seeds": [-1]}, "from 0 to below"),
        ({"jobs": 0}, "jobs is 0"),
    ],
)
def test_seeds_and_numbers_of_runs_that_cannot_be_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        run_studies([TOY], tmp_path, data="shapes", say=quiet, **options)


def test_a_place_that_cannot_be_written_to_is_found_out_first(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("somebody's")
    never = replace(TOY, measure=None)
    with pytest.raises(OSError, match="taken cannot be written to"):
        run_studies([never], taken, data="shapes", jobs=1, say=quiet)


def test_what_is_named_twice_is_run_once(tmp_path):
    said = []
    run_studies([TOY, TOY], tmp_path, data="shapes", jobs=1, seeds=[1, 1], say=said.append)
    assert len(said) == 6


@pytest.mark.parametrize(
    "damage", [('"versions":[', '"versions":null,"x":['), ('"seed":1', '"seed":null')]
)
def test_a_file_that_is_no_result_is_named(tmp_path, damage):
    run_studies([TOY], tmp_path, data="shapes", jobs=1, seeds=[1], say=quiet)
    path = tmp_path / "toy.jsonl"
    path.write_text(path.read_text("utf-8").replace(*damage), "utf-8")
    with pytest.raises(ValueError, match="holds no results of a study"):
        laboratory.load(TOY, path)


@pytest.mark.parametrize("option", [["--show"], ["--again", "batch", "1"]])
def test_show_and_again_need_a_study(option, capsys):
    assert cli.main(["study", "--quick", *option]) == 2
    assert "take the name of a study" in capsys.readouterr().err


def test_a_cluster_is_for_runs(capsys):
    assert cli.main(["study", "curves", "--show", "--dask", "tcp://x:1"]) == 2
    assert "--dask sends runs" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_refused_where_nothing_is_run(tmp_path, capsys):
    command = ["study", "curves", "--show", "--out", str(tmp_path), "--device", "cpu:7"]
    assert cli.main(command) == 2
    assert "cpu:7" in capsys.readouterr().err


def test_results_are_looked_for_in_a_folder(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["study", "curves", "--show", "--out", str(tmp_path / "file")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_every_line_says_what_is_left(tmp_path):
    said = []
    run_studies([TOY], tmp_path, data="shapes", jobs=1, say=said.append)
    assert len(said) == 12
    assert said[0].startswith("toy  1/12  batch/size=1 seed 1: test ")
    assert said[-1].endswith(" left for all")


def test_results_of_another_setting_or_other_images_are_refused(tmp_path, monkeypatch):
    run_studies([TOY], tmp_path, data="shapes", jobs=1, seeds=[1], say=quiet)
    with pytest.raises(ValueError, match="another setting"):
        run_studies([replace(TOY, setting={"recipe": "x"})], tmp_path, data="shapes", say=quiet)
    path = tmp_path / "toy.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("shapes", "CIFAR-10"), "utf-8")
    with pytest.raises(ValueError, match="on other images"):
        run_studies([TOY], tmp_path, data="shapes", jobs=1, say=quiet)


def test_the_command_runs_shows_and_does_a_run_again(tmp_path, capsys):
    command = ["study", "curves", "--quick", "--out", str(tmp_path), "--jobs", "1"]
    assert cli.main(command) == 0
    shown = capsys.readouterr().out
    assert "6 of 6 runs; seeds with every condition: 1, 2" in shown
    assert "first-to-60: epochs to 60 %, GN minus BN" in shown
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    run = ["--again", "batch", "2"]
    assert cli.main([*command, *run]) == 0
    assert "the same 6 values" in capsys.readouterr().out
    path = tmp_path / "curves.jsonl"
    path.write_text(path.read_text("utf-8").replace('"to_60":', '"to_60":1'), "utf-8")
    assert cli.main([*command, *run]) == 1
    assert cli.main([*command, "--again", "batch/gain=5", "2"]) == 2
    assert "it has batch, group, layer" in capsys.readouterr().err


def test_a_run_done_again_gives_the_same_numbers(tmp_path):
    init = STUDIES["init"]
    few = replace(init, conditions=init.shortened().conditions[:1], seeds=(1,), quick={})
    run_studies([few], tmp_path, data="shapes", jobs=1, say=quiet)
    old, new = again(few, tmp_path, label(few.conditions[0]), 1, data="shapes")
    assert old.values == new.values


def test_quick_runs_and_stand_ins_never_get_into_the_course_s_results(monkeypatch, tmp_path):
    assert laboratory.RESULTS not in laboratory.folder_of("cifar10").parents
    assert laboratory.folder_of("cifar10") != laboratory.RESULTS
    monkeypatch.setenv("NORMS_QUICK", "0")
    assert laboratory.folder_of("cifar10") == laboratory.RESULTS
    assert laboratory.folder_of("shapes") != laboratory.RESULTS


def test_without_dask_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match="pip install distributed"):
        run_studies([TOY], tmp_path, data="shapes", dask="tcp://127.0.0.1:1", say=quiet)


def test_through_dask_with_a_worker_killed_the_file_is_the_same(tmp_path):
    pytest.importorskip("distributed")
    whole, parts = tmp_path / "whole" / "toy.jsonl", tmp_path / "parts" / "toy.jsonl"
    run_studies([TOY], whole.parent, data="shapes", jobs=1, say=quiet)
    from distributed import LocalCluster

    environment = {"PYTHONPATH": str(ROOT), "NORMS_QUICK": "1", "NORMS_THREADS": "1"}
    options = {"threads_per_worker": 1, "dashboard_address": None, "env": environment}
    with LocalCluster(n_workers=2, processes=True, **options) as cluster:
        victim = next(iter(cluster.workers.values())).pid
        done = []

        def kill_once(line):
            done.append(line)
            if len(done) == 4:
                os.kill(victim, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)

        slow = replace(TOY, measure=TOY.measure.slow)
        address = cluster.scheduler_address
        run_studies([slow], parts.parent, data="shapes", dask=address, say=kill_once)
    assert numbers(parts) == numbers(whole)


# What is declared


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_study_measures_what_its_rule_and_figures_need(study, tmp_path):
    short = study.shortened()
    first, last = short.conditions[0], short.conditions[-1]
    some = replace(short, conditions=(first, last), seeds=(1,), quick={})
    (result,) = run_studies([some], tmp_path, data="shapes", jobs=1, say=quiet)
    assert [line.condition for line in result.lines] == [label(first), label(last)]
    measured = {name for line in result.lines for name in line.values}
    cells = [c for x in study.contrasts for c in (x.first, x.second) if c is not None]
    assert {cell.value for cell in cells} <= measured
    assert {plot.value for plot in study.plots} <= measured
    assert not study.tuned or "validation" in measured
    names = [name for name, _ in study_figures(result)]
    assert names
    assert study.name in study_report(result)


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_rule_is_about_conditions_that_are_run(study):
    """A made-up result of every run brings every contrast to a verdict."""
    values = {"validation": 1.0} | {
        cell.value: 1.0 for x in study.contrasts for cell in (x.first, x.second) if cell
    }
    lines = [Line(label(c), seed, values, 1.0) for c, seed in study.runs()]
    verdicts = judge(Kept(study, lines=lines))
    assert [v.word for v in verdicts if v.word == "not run yet"] == []
    assert len(set(map(label, study.conditions))) == len(study.conditions)
    assert set(study.quick) <= set(study.conditions[0])
    assert study.shortened().conditions


def test_every_claim_has_a_study_a_proof_or_a_reason():
    asked = {x.claim for study in STUDIES.values() for x in study.contrasts}
    keys = [claim.key for claim in laboratory.CLAIMS]
    assert len(set(keys)) == len(keys)
    assert asked <= set(keys)
    for claim in laboratory.CLAIMS:
        ways = [claim.key in asked, bool(claim.proof and claim.proven), bool(claim.untestable)]
        assert sum(ways) == 1, claim.key
        if claim.proof:
            path, _, name = claim.test.partition("::")
            assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_the_court_has_every_claim_with_its_verdict(tmp_path):
    birth, folder = STUDIES["birth"], tmp_path / "common" / "results" / "studies"
    values = dict.fromkeys(("gradient_drift", "activation_drift", "gradient_growth"), 0.0)
    values |= {"gradient_growth": 9.0, "gradients": [1.0]}
    lines = [Line(label(c), s, values, 1.0) for c, s in birth.runs()]
    write_atomically(folder / "birth.jsonl", Kept(birth, Images("images"), [], lines).text())
    page = court_page(Results(tmp_path))
    for claim in laboratory.CLAIMS:
        assert page.count(f"| {claim.said} |") == 1
        verdict = (
            f"proven: {claim.proven}" if claim.proof else "not testable" if claim.untestable else ""
        )
        row = next(line for line in page.splitlines() if line.startswith(f"| {claim.said} |"))
        assert verdict in row
        if not verdict:
            assert "python -m common study" in row
            assert ("not run yet" in row) == (claim.key not in {c.claim for c in birth.contrasts})
    assert "**+9.00 [9.00, 9.00] decades** (n = 10) | holds |" in page
    assert court_page(Results(tmp_path / "nothing")) is None


def test_the_first_page_counts_the_verdicts_on_what_is_heard_most(tmp_path):
    birth, folder = STUDIES["birth"], tmp_path / "common" / "results" / "studies"
    drift = {"none": 3.0, "batch": 1.0, "group": 1.0, "layer": 9.0}

    def values(decades):
        names = ("gradient_drift", "activation_drift", "gradient_growth")
        return {**dict.fromkeys(names, decades), "gradients": [1.0, 10**decades]}

    lines = [Line(label(c), s, values(drift[c["norm"]] + s / 100), 1.0) for c, s in birth.runs()]
    write_atomically(folder / "birth.jsonl", Kept(birth, Images("images"), [], lines).text())
    table = court_section(Results(tmp_path))
    assert "exploding. | holds in 4 of 6, does not hold in 2 |" in table  # norm by norm
    assert "too small. | holds in 2 of 3, does not hold in 1 |" in table
    assert "computes statistics of the batch. | proven: wrong |" in table
    assert "train faster" not in table  # that study has not been run


def test_the_source_trained_layer_norm_in_smaller_batches():
    sizes = {
        (entry.network, entry.norm): entry.recipe.batch_size
        for entry in FIELD
        if entry.source.name == "vmistry-repo/AI-Novice" and entry.claim
    }
    assert sizes == {
        ("plain-18k", "batch"): 128, ("plain-47k", "layer"): 128, ("plain-27k", "layer"): 32
    }  # fmt: skip


def test_the_list_names_every_study(capsys):
    assert cli.main(["study", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in printed for name in STUDIES)
    assert cli.main(["study", "births"]) == 2
    assert "birth" in capsys.readouterr().err


def test_with_all_images_size_takes_the_shipped_runs():
    study = laboratory.STUDIES["size"]
    condition = study.condition("layer/images=50000/width=1")
    (run,) = (run for run in course_histories("layer") if run.seed == 2)
    values = study.measure(condition, 2, None, None)
    assert values["test"] == run.test_accuracy
    assert values["gap"] == run.train_accuracy - run.test_accuracy
