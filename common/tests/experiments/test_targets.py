"""How soon a target is reached: epochs from the shipped runs, times what an epoch costs here."""

from __future__ import annotations

import pytest

from common import cli
from common.data import load_images
from common.experiments import benchmark, targets
from common.experiments.shipped import field_histories
from common.reports import speed

PLAN = benchmark.Plan(data="shapes", device="cpu", batches=1, rounds=1, workers=(0,), at_once=())


def measured(race, course, source, epochs):
    cost = {"race": race, "course": course, "source, 0 workers": source, "source, 2 workers": [9e9]}
    return {"cost": cost, "epochs": epochs}


@pytest.fixture
def results():
    mine = {"course": {"70": 4, "78.35": 7}, "source": {"70": 9, "78.35": 18}}
    never = {"course": {"70": 4, "78.35": 8}, "source": {"70": 18, "78.35": None}}
    about = {"dataset": "d", "device": "CPU", "threads": 2, "versions": {"torch": "2"}}
    norms = {
        "batch": measured([20.0, 30.0, 40.0], [10.0] * 3, [30.0] * 3, mine),
        "group": measured([100.0] * 3, [20.0] * 3, [60.0] * 3, never),
    }
    return {**about, "rounds": 3, "batches": 8, "targets": norms}


def test_a_target_is_reached_when_every_seed_has_reached_it():
    runs = [run for run in field_histories("skip-48k", "source") if run.norm == "batch"]
    first = targets.epochs_to(runs, 70.0)
    accuracies = runs[0].column("test_accuracy")
    assert accuracies[int(first) - 1] >= 70 > max(accuracies[: int(first) - 1])
    assert targets.epochs_to(runs, 99.0) is None
    assert targets.epochs_to([], 70.0) is None


def test_the_rival_has_its_best_loader_and_the_race_its_own_target_only(results):
    batch = results["targets"]["batch"]
    assert targets.seconds_to(batch, "race", 70.0) == 30.0
    assert targets.seconds_to(batch, "race", 78.35) is None
    assert targets.seconds_to(batch, "course", 78.35) == 70.0
    assert targets.seconds_to(batch, "source", 78.35) == 18 * 30.0


def test_the_report_gives_the_sooner_of_ours_and_says_never(results):
    rows = [line.split() for line in speed.targets_report(results).split("\n")]
    sooner = [row[-2:] for row in rows if row[:2] == ["times", "sooner"]]
    assert sooner == [["9.0", "13.5"], ["7.7", "never"]]  # 270 / 30, 1080 / 80; 540 / 70
    goal = speed.targets_goal(results)
    assert (
        "10 times sooner at 70 %: 9.0 / 13.5; missed: the course's recipe takes 4 / 4 epochs of "
        "10 / 20 s, the rival's 9 / 18 epochs of 30 / 60 s." in goal
    )
    assert "7.7 / never; missed: the course's recipe takes 7 / 8 epochs of 10 / 20 s" in goal
    assert "the rival's 18 / never epochs of 30 / 60 s." in goal


def test_everything_is_measured_on_this_machine(few_images):
    found = targets.measure(PLAN, "group", load_images("shapes"))
    assert set(found["cost"]) == {"race", "course", "source, 0 workers"}
    assert all(seconds > 0 for rounds in found["cost"].values() for seconds in rounds)
    assert set(found["epochs"]) == {"course", "source"}


def test_the_command_writes_a_file_of_its_own(tmp_path, monkeypatch, capsys, results):
    monkeypatch.setattr(targets, "run", lambda norms, plan: results)
    assert cli.main(["benchmark", "--targets", "--out", str(tmp_path)]) == 0
    assert "times sooner" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"targets.json", "targets.txt"}
