"""The runner, the shipped results, the statistics and the command line."""

import csv
import math
import os
import pickle
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common import cli, experiments, reports, settings
from common.data.images import folder_name, load_images
from common.data.splits import first_images, hold_out, small
from common.experiments import runs, shipped
from common.experiments.race import save_race
from common.experiments.runs import Run, run_all
from common.experiments.statistics import compare_means, summarise
from common.reports import comparison_table, conclusion
from common.tests.data.fake_cifar10 import like_cifar10
from common.training.history import History, Score, epoch_row
from common.training.progress import Overview
from common.training.recipes import RACE, SHARED, Recipe
from common.training.state import TrainingState

pytestmark = pytest.mark.usefixtures("few_images")

RECIPE = Recipe(epochs=1, batch_size=32)
RUNS = [Run("course", norm, RECIPE, data="shapes") for norm in ("batch", "group")]


def test_finished_runs_are_not_trained_again(tmp_path, monkeypatch):
    first = run_all(RUNS, tmp_path, jobs=1, weights=True)
    assert [h.norm for h in first] == ["batch", "group"]
    assert all(h.finished for h in first)
    monkeypatch.setattr(runs, "fit", None)  # calling it would now fail
    assert run_all(RUNS, tmp_path, jobs=1, weights=True) == first


def test_one_view_shows_all_runs(tmp_path, capsys, monkeypatch):
    run_all(RUNS, tmp_path / "log", jobs=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", epoch")[0] for line in lines] == ["batch, 1 of 2", "group, 2 of 2"]
    assert all(re.search(r"; \d:\d\d left, all \d:\d\d left$", line) for line in lines)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    histories = run_all(RUNS, tmp_path / "terminal", jobs=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    last = re.split(r"[\r\n]+", shown.err.strip())[-1]
    accuracies = ", ".join(f"{h.norm} {h.test_accuracy:.1f}" for h in histories)
    assert last.startswith("2 of 2: ")
    assert last.endswith(accuracies)


def test_the_view_of_many_runs_fits_eighty_columns(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    names = [f"{norm}{seed}" for seed in ("", " seed 2") for norm in ("batch", "group", "none")]
    shown = []
    with Overview("bar", names, [1.0] * len(names)) as whole:
        for number in range(len(names)):
            whole.begin(number)
            whole.tell(70.0 + number)
            shown.append(whole.bar.format_meter(**whole.bar.format_dict | {"ncols": 80}))
    assert max(map(len, shown)) <= 80
    assert shown[2].endswith("batch 70.0, group 71.0, none 72.0")
    assert shown[-1].startswith("none seed 2, 6 of 6")
    assert shown[-1].endswith("left, group seed 2 74.0, none seed 2 75.0")


def test_only_the_missing_run_is_trained(tmp_path, monkeypatch):
    run_all(RUNS[:1], tmp_path, jobs=1)
    trained = []
    perform = runs.perform
    monkeypatch.setattr(
        runs, "perform", lambda run, *a, **k: trained.append(run) or perform(run, *a, **k)
    )
    run_all(RUNS, tmp_path, jobs=1)
    assert trained == RUNS[1:]


def test_side_by_side_gives_what_one_after_the_other_gives(tmp_path, capfd, monkeypatch):
    monkeypatch.undo()  # the workers have all images of quick mode
    alone = run_all(RUNS, tmp_path / "alone", jobs=1)
    together = run_all(RUNS, tmp_path / "together", jobs=2)
    for one, other in zip(alone, together, strict=True):
        assert one.test_accuracy == pytest.approx(other.test_accuracy, abs=1.0)
        assert one.recipe == other.recipe
    lines = capfd.readouterr().out.splitlines()
    assert lines[-3] == "2 runs, 2 at a time."
    assert {line.split(", epoch")[0] for line in lines[-2:]} == {"batch, 1 of 2", "group, 2 of 2"}
    assert all(re.search(r"test .* %; \d:\d\d left, all \d:\d\d left$", li) for li in lines[-2:])


def test_one_view_shows_runs_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    names = ["batch", "group", "layer"]
    with Overview("bar", names, [1.0] * 3, board=tmp_path / "board") as whole:
        members = [pickle.loads(pickle.dumps(whole.member(number))) for number in range(3)]
        assert {member.progress for member in members} == {"none"}
        members[0].at(0.5)
        members[2].tell(38.25, "1/3")
        members[2].at(1.0)
        with whole.watching():
            deadline = time.monotonic() + 20
            while whole.bar.n < 1.5 and time.monotonic() < deadline:
                time.sleep(0.05)
        line = whole.bar.format_meter(**whole.bar.format_dict | {"ncols": 80})
    assert whole.done == 1.5
    assert line.startswith("3 runs  50%|")
    assert line.endswith("layer 1/3 38.2")
    whole.board.unlink()
    members[1].at(1.0)  # as on another machine of a cluster: nothing is told, nothing fails


def test_a_file_of_another_recipe_is_not_taken_for_this_run(tmp_path):
    run_all(RUNS[:1], tmp_path, jobs=1)
    changed = replace(RUNS[0], recipe=replace(RECIPE, learning_rate=0.1))
    with pytest.raises(ValueError, match=r"another recipe.*learning_rate"):
        run_all([changed], tmp_path, jobs=1)


def test_what_cannot_be_written_is_not_lost(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("No space left on device")

    save = runs.save_weights
    monkeypatch.setattr(runs, "save_weights", full)
    with pytest.raises(OSError, match="No space left"):
        run_all(RUNS[:1], tmp_path, jobs=1, weights=True)
    monkeypatch.setattr(runs, "save_weights", save)
    monkeypatch.setattr(TrainingState, "step", None)  # a training step would now fail
    (history,) = run_all(RUNS[:1], tmp_path, jobs=1, weights=True)
    assert history.finished
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


@pytest.mark.parametrize("what", ["weights", "checkpoint"])
def test_a_full_disk_is_told_with_the_file_s_name(tmp_path, monkeypatch, what):
    def full(*_, **__):  # what both libraries raise is no OSError
        raise RuntimeError("unexpected pos 97664 vs 97560")

    monkeypatch.setattr({"weights": "safetensors.torch.save_file"}.get(what, "torch.save"), full)
    with pytest.raises(
        OSError, match=r"course-batch-seed1\..* could not be written: unexpected pos"
    ):
        run_all(RUNS[:1], tmp_path, jobs=1, weights=True)
    assert not list(tmp_path.glob(".*.[0-9]*"))  # nothing half-written


def test_runs_trained_as_one_are_not_lost_if_one_cannot_be_written(tmp_path, monkeypatch):
    seeds = [replace(RUNS[0], recipe=replace(RECIPE, seed=seed)) for seed in (1, 2)]
    save = runs.save_weights

    def once(model, path, history, data):
        if history.seed == 2:
            raise OSError("No space left on device")
        return save(model, path, history, data)

    monkeypatch.setattr(runs, "save_weights", once)
    with pytest.raises(OSError, match="No space left"):
        run_all(seeds, tmp_path, jobs=1, together=2, weights=True)
    monkeypatch.setattr(runs, "save_weights", save)
    monkeypatch.setattr(TrainingState, "step", None)  # a training step would now fail
    histories = run_all(seeds, tmp_path, jobs=1, together=2, weights=True)
    assert all(history.finished and history.together == 2 for history in histories)
    assert not list(tmp_path.glob(".*"))


def test_weights_are_kept_of_the_runs_that_were_named(tmp_path):
    run_all(RUNS, tmp_path, jobs=1, weights=lambda run: run.norm == "group")
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [
        "course-group-seed1.safetensors"
    ]


def test_a_folder_that_cannot_be_used_is_found_out_before_the_training(
    tmp_path, monkeypatch, capsys
):
    file = tmp_path / "taken"
    file.write_text("a file, no folder")
    monkeypatch.setattr(runs, "fit", None)  # training would now fail
    assert cli.main(["compare", "--quick", "--jobs", "1", "--out", str(file)]) == 2
    assert f"{file} cannot be written to" in capsys.readouterr().err


@pytest.fixture
def offline(monkeypatch):
    """What ``load_images`` gives, but for its ``quick``: shapes, standing in or on its own."""

    def serve(note: str) -> None:
        data = replace(load_images("shapes"), quick=False, note=note)
        monkeypatch.setattr("common.data.load_images", lambda _: data)

    return serve


def test_runs_on_the_stand_in_are_not_mixed_with_runs_on_the_images_asked_for(tmp_path, offline):
    runs = [replace(run, data="cifar10") for run in RUNS]
    offline("no network")
    (history,) = run_all(runs[:1], tmp_path, jobs=1)
    assert "stand-in" in history.dataset
    assert run_all(runs[:1], tmp_path, jobs=1) == [history]
    offline("")
    with pytest.raises(
        ValueError, match=r"on other images .*stand-in for CIFAR-10, .*here: shapes"
    ):
        run_all(runs[:1], tmp_path, jobs=1)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_folder_holds_a_run_and_its_other_seeds_on_the_same_images(
    tmp_path, monkeypatch, weights, seed
):
    run_all(RUNS[:1], tmp_path, jobs=1)
    data = load_images("shapes")
    more = replace(data, test=data.test.draw(30))  # of the same title
    monkeypatch.setattr("common.data.load_images", lambda _: more)
    monkeypatch.setattr(runs, "fit", None)  # training would now fail
    run = replace(RUNS[0], recipe=replace(RECIPE, seed=seed))
    with pytest.raises(
        ValueError, match=r"seed1.json holds a run on other images .*here: .*30 to test"
    ):
        run_all([run], tmp_path, jobs=1, weights=weights)


def test_what_the_course_ships_is_taken_as_it_is_without_a_look_at_the_images(monkeypatch):
    monkeypatch.setenv("NORMS_QUICK", "0")
    monkeypatch.setattr("common.data.load_images", None)  # looking would now fail
    kept = shipped.weights_of(shipped.shipped_run("course", "batch"))
    assert cli.main(["accuracy", "--norms", "batch", "--seeds", "1", "2"]) == 0
    assert list(kept.parent.glob("course-batch-*.safetensors")) == [kept]


@pytest.mark.parametrize("command", ["accuracy", "field"])
def test_only_cifar10_gets_into_the_lessons_results(command, offline, monkeypatch, capsys):
    monkeypatch.setenv("NORMS_QUICK", "0")
    seeds = ["--norms", "batch", "--seeds", "99", "--jobs", "1"]
    assert cli.main([command, *seeds, "--data", "shapes"]) == 2
    assert "Runs on shapes do not belong" in capsys.readouterr().err
    offline("CIFAR-10 could not be had: no network.")
    monkeypatch.setattr(runs, "fit", None)  # training would now fail
    assert cli.main([command, *seeds]) == 2
    assert "could not be had: no network. Runs on other" in capsys.readouterr().err


def test_data_sets_of_one_name_have_folders_of_their_own(tmp_path):
    places = [tmp_path / "a" / "images", tmp_path / "b" / "images"]
    for place in places:
        place.mkdir(parents=True)
    one, other = map(folder_name, places)
    assert one != other
    assert one.startswith("images-")
    assert folder_name("CIFAR-10") == "cifar10"
    with pytest.raises(ValueError, match="no data set or folder 'nowhere'"):
        folder_name("nowhere")


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        ("my runs", settings.ROOT / "my runs"),
        ("~/my runs", Path("~/my runs").expanduser()),
        ("", settings.ROOT / "runs"),
    ],
)
def test_the_folder_for_runs_is_the_same_from_everywhere(tmp_path, value, folder):
    environment = os.environ | {"NORMS_RUNS": value, "PYTHONPATH": str(settings.ROOT)}
    command = [sys.executable, "-c", "from common.settings import RUNS; print(RUNS)"]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(folder)


@pytest.mark.parametrize(("quick", "folder"), [(False, "shapes"), (True, "shapes-quick-mode")])
def test_a_lesson_keeps_what_it_has_trained(tmp_path, monkeypatch, capsys, quick, folder):
    monkeypatch.setattr(shipped, "RUNS", tmp_path)
    monkeypatch.setattr("common.training.course_recipe", lambda *_: RECIPE)
    data = replace(load_images("shapes"), quick=quick)
    model, history = shipped.train_or_load("batch", data)
    monkeypatch.setattr(runs, "fit", None)  # training would now fail
    again, loaded = shipped.train_or_load("batch", data, train=True)
    assert "Loaded your own run from" in capsys.readouterr().out
    assert loaded == history
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert (tmp_path / "lessons" / folder / "course-batch-seed1.json").exists()


def first_of_all(data):
    """One training image in the place of another, so that its class has one more."""
    labels = data.train.labels.clone()
    labels[1] = labels[0]
    return replace(data, train=replace(data.train, labels=labels))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: replace(data, name="CIFAR-100"),
        lambda data: replace(data, name="CIFAR-10-animals"),
        lambda data: replace(data, name="CIFAR-10, my own"),
        lambda data: replace(data, quick=True),
        lambda data: replace(data, classes=(*data.classes[:9], "lorry")),
        lambda data: replace(data, train=data.test, test=data.test),
        lambda data: replace(data, test=data.train),
        lambda data: first_images(data, 49_999),
        first_of_all,
        hold_out,
        small,
    ],
)
@pytest.mark.parametrize("name", ["CIFAR-10", "CIFAR-10 (JPEG copy)"])
def test_the_shipped_network_is_for_the_whole_of_cifar10_alone(monkeypatch, capsys, change, name):
    """A part that was held out it has seen: it would look better there than it is."""
    trained = []
    monkeypatch.setattr(shipped, "_train_and_keep", lambda norm, *_: trained.append(norm))
    whole = replace(like_cifar10(), name=name)
    shipped.train_or_load("batch", change(whole))
    assert trained == ["batch"]
    shipped.train_or_load("batch", whole)
    assert trained == ["batch"]
    assert "Loaded the shipped run of course with batch norm" in capsys.readouterr().out


@pytest.fixture
def three_shipped(tmp_path, monkeypatch):
    """A results folder with three runs, seed 2 the median, and the weights of the other two."""
    monkeypatch.setattr(shipped, "results_folder", lambda _: tmp_path)
    for seed, accuracy in ((1, 80.0), (2, 85.0), (3, 90.0)):
        row = epoch_row(1, 0.1, Score(1.0, accuracy), Score(1.0, accuracy), 1.0)
        history = History("course", "batch", 1, replace(RECIPE, seed=seed), "x", epochs=[row])
        history.train_accuracy = accuracy
        history.save(tmp_path / f"course-batch-seed{seed}.json")
        if seed != 2:
            (tmp_path / f"course-batch-seed{seed}.safetensors").touch()
    return tmp_path


def test_the_run_that_is_shown_is_the_median_of_all_and_needs_its_weights(three_shipped):
    with pytest.raises(FileNotFoundError, match=r"seed2\.safetensors.*--norms batch --seeds 2"):
        shipped.shipped_run("course", "batch")
    (three_shipped / "course-batch-seed2.safetensors").touch()
    assert shipped.shipped_run("course", "batch").seed == 2


def test_only_the_median_s_weights_are_kept_and_nothing_goes_while_they_are_missing(three_shipped):
    with pytest.raises(FileNotFoundError):
        shipped.keep_median_weights("course", "batch")
    assert len(list(three_shipped.glob("*.safetensors"))) == 2
    (three_shipped / "course-batch-seed2.safetensors").touch()
    shipped.keep_median_weights("course", "batch")
    assert [path.name for path in three_shipped.glob("*.safetensors")] == [
        "course-batch-seed2.safetensors"
    ]
    assert len(list(three_shipped.glob("*.json"))) == 3


def test_new_runs_for_the_lessons_leave_the_weights_of_their_median(tmp_path, monkeypatch):
    def fit(model, data, recipe, **_) -> History:
        test = Score(1.0, {1: 80.0, 2: 90.0, 3: 85.0}[recipe.seed])
        row = epoch_row(1, 0.1, Score(1.0, 90.0), test, 1.0)
        names = "course", "batch", 1, recipe.shortened(), data.title
        return History(*names, epochs=[row] * recipe.epochs, train_accuracy=90.0)

    monkeypatch.setattr(runs, "fit", fit)
    monkeypatch.setattr(shipped, "results_folder", lambda _: tmp_path)
    monkeypatch.setattr(shipped, "check_shippable", lambda _: None)
    first = RUNS[0]
    mine = [replace(first, recipe=replace(RECIPE, seed=seed)) for seed in (1, 2, 3)]
    mine.append(replace(first, label="tuned"))  # for a table alone
    assert [history.seed for history in shipped.run_for_lessons(mine, jobs=1)] == [1, 2, 3, 1]
    assert len(list(tmp_path.glob("*.json"))) == 4
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [
        "course-batch-seed3.safetensors"
    ]


def test_other_classes_than_the_network_was_trained_on_are_refused(monkeypatch, capsys):
    data = replace(load_images("shapes"), classes=("cat", "dog"))
    monkeypatch.setattr("common.data.load_images", lambda _: data)
    assert cli.main(["evaluate"]) == 2
    message = capsys.readouterr().err
    assert "tells 10 classes apart (airplane" in message
    assert "shapes – quick mode has 2 (cat, dog): name the images" in message


def test_two_runs_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="course-batch-seed1"):
        run_all([RUNS[0], RUNS[0]], tmp_path)


def test_a_diverged_run_is_kept_with_its_reason(tmp_path):
    wild = Run("course", "none", replace(RECIPE, learning_rate=1e20, warmup=0.0), data="shapes")
    (history,) = run_all([wild], tmp_path, jobs=1)
    assert "learning rate" in history.failure
    assert not history.finished
    assert history.parameters > 0
    assert "learning rate" in comparison_table([history])
    assert run_all([wild], tmp_path, jobs=1) == [history]


def test_held_out_images_are_training_images_and_never_trained_on():
    data = load_images("shapes")
    numbered = replace(data, train=replace(data.train, labels=torch.arange(len(data.train))))
    split = hold_out(numbered, size=50)
    assert len(split.test) == 50
    together = torch.cat([split.train.labels, split.test.labels]).sort().values
    assert torch.equal(together, torch.arange(len(data.train)))
    assert "validation" in split.title
    with pytest.raises(ValueError, match="cannot be held out"):
        hold_out(data, size=len(data.train))


def test_weights_come_back_as_the_network_that_was_saved(tmp_path):
    run_all(RUNS[:1], tmp_path, jobs=1, weights=True)
    model, about = shipped.load_weights(tmp_path / "course-batch-seed1.safetensors")
    assert (about["network"], about["norm"], about["seed"]) == ("course", "batch", "1")
    assert not model.training
    data = load_images("shapes")
    history = History.load(tmp_path / "course-batch-seed1.json")
    from common.training.evaluation import evaluate

    assert evaluate(model, data.test, data).accuracy == pytest.approx(history.test_accuracy)


def test_files_that_are_no_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Train them"):
        shipped.load_weights(tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a safetensors file at all")
    with pytest.raises(ValueError, match=r"broken\.safetensors"):
        shipped.load_weights(broken)


def test_the_median_run_is_neither_the_best_nor_the_worst():
    def run(accuracy: float, seed: int) -> History:
        recipe = replace(RECIPE, seed=seed)
        return History("course", "batch", 1, recipe, "x", epochs=[{"test_accuracy": accuracy}])

    assert shipped.median_run([run(80, 1), run(90, 2), run(85, 3)]).seed == 3
    with pytest.raises(ValueError, match="no run"):
        shipped.median_run([])


def test_summaries_agree_with_a_textbook_example():
    summary = summarise([4.0, 5.0, 6.0])
    assert (summary.mean, summary.deviation, summary.runs) == (5.0, 1.0, 3)
    assert summary.high - summary.mean == pytest.approx(4.303 / math.sqrt(3), abs=1e-3)
    assert str(summary) == "5.00 ± 1.00 (n = 3)"
    assert str(summarise([7.0])) == "7.00 (n = 1)"
    with pytest.raises(ValueError, match="empty"):
        summarise([])


def test_welch_tells_apart_what_is_apart():
    near = compare_means([80.0, 80.2, 80.4], [80.1, 80.3, 80.2])
    far = compare_means([80.0, 80.2, 80.4], [70.0, 71.0, 69.0])
    assert near.p_value > 0.5
    assert near.low < 0 < near.high
    assert far.p_value < 0.01
    assert far.low > 0
    with pytest.raises(ValueError, match="two runs or more"):
        compare_means([1.0], [1.0, 2.0])


def test_compare_prints_a_row_a_norm_and_leaves_its_files(tmp_path, capsys):
    assert cli.main(["compare", "--jobs", "1", "--out", str(tmp_path), "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    for label in ("BatchNorm", "GroupNorm", "LayerNorm", "shapes – quick mode"):
        assert label in printed
    for name in ("curves.png", "comparison.png", "course-layer-seed1.json"):
        assert (tmp_path / name).exists()


def test_the_race_is_what_compare_does_unless_it_is_told_how_far_to_go(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(experiments, "run_all", lambda runs, *_, **__: asked.append(runs) or [])
    monkeypatch.setattr(reports, "comparison_table", lambda _: "")
    monkeypatch.setattr(reports, "conclusion", lambda _: "")
    monkeypatch.setattr(reports, "draw_comparison", lambda *_: [])
    command = ["compare", "--norms", "batch", "none", "--out", str(tmp_path)]
    for more in ([], ["--full"], ["--epochs", "2"], ["--learning-rate", "0.01"]):
        assert cli.main([*command, *more]) == 0
    race, full, short, slow = asked
    assert [run.name for run in race] == ["course-batch-race-seed1", "course-none-race-seed1"]
    assert all(run.recipe == RACE and run.brief for run in race)
    assert all(run.recipe == SHARED and not run.brief and not run.label for run in full)
    assert all(run.recipe == replace(SHARED, epochs=2) for run in short)
    assert all(run.recipe == replace(RACE, learning_rate=0.01) for run in slow)


def with_accuracies(norm: str, *accuracies: float) -> list[History]:
    rows = [[{"epoch": 1, "test_accuracy": accuracy}] for accuracy in accuracies]
    return [
        History("course", norm, 1, replace(RECIPE, seed=seed), "CIFAR-10 (JPEG copy)", epochs=row)
        for seed, row in enumerate(rows, start=1)
    ]


def test_the_conclusion_says_what_the_runs_can_tell():
    one = conclusion([*with_accuracies("batch", 71), *with_accuracies("group", 69)])
    assert "1 of 2 runs are past 70 %" in one
    assert "One run says nothing about a difference" in one
    assert "train %" not in comparison_table(with_accuracies("batch", 71))
    far = with_accuracies("batch", 80, 80.2, 80.1) + with_accuracies("group", 70, 70.1, 70.2)
    near = with_accuracies("layer", 70, 70.3, 70.2)
    several = conclusion(far + near).splitlines()
    assert several[0].startswith("7 of 9 runs are past 70 %")
    assert re.fullmatch(
        r"  BatchNorm − GroupNorm: \+10.00, \+9.\d\d to \+10.\d\d: told apart", several[2]
    )
    assert several[4].endswith(": not told apart")
    assert (
        conclusion(with_accuracies("batch", 71)) == "1 of 1 runs are past 70 % of the test images."
    )
    own = [replace(run, dataset="CIFAR-10-animals") for run in with_accuracies("batch", 71)]
    assert conclusion(own) == ""  # the target is of CIFAR-10


def test_the_race_is_kept_as_a_row_a_run(tmp_path, capsys):
    command = ["accuracy", "--race", "--norms", "group", "--seeds", "2", "1", "--quick"]
    assert cli.main([*command, "--out", str(tmp_path)]) == 0
    assert "GroupNorm" in capsys.readouterr().out
    with (tmp_path / "race.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["norm"], row["seed"], row["threads"]) for row in rows] == [
        ("group", "1", "1"),
        ("group", "2", "1"),
    ]
    kept = History.load(tmp_path / "course-group-race-seed1.json")
    assert float(rows[0]["test_accuracy"]) == pytest.approx(kept.test_accuracy, abs=0.01)
    assert rows[0]["sizes"] == "16"


def test_a_race_joins_those_of_other_seeds_and_replaces_those_of_another_recipe(tmp_path, capsys):
    path = tmp_path / "race.csv"

    def race(norm: str, seed: int, **changes) -> History:
        history = History("course", norm, 1, replace(RACE, seed=seed, **changes), "CIFAR-10")
        history.failure = f"seed {seed}"
        return history

    def kept() -> list[tuple[str, str, str]]:
        with path.open(encoding="utf-8", newline="") as file:
            return [(row["norm"], row["seed"], row["failure"]) for row in csv.DictReader(file)]

    save_race([race("layer", 2), race("batch", 10), race("batch", 9)], path)
    other = replace(race("batch", 1), parameters=2)  # as many as a norm brings, or none does
    save_race([other, race("layer", 2)], path)
    assert kept() == [
        ("batch", "1", "seed 1"),
        ("batch", "9", "seed 9"),
        ("batch", "10", "seed 10"),
        ("layer", "2", "seed 2"),
    ]
    assert not capsys.readouterr().err
    save_race([race("batch", 1, learning_rate=0.5)], path)
    assert kept() == [("batch", "1", "seed 1")]
    assert "4 races with another recipe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["summary", "--network", "resnet-1000"], "resnet-1000"),
        (["summary", "--norm", "instance"], "instance"),
        (["train", "--norm", "batches"], "batch"),
        (["train", "--data", "no-such-folder"], "no-such-folder"),
        (["train", "--device", "tpu"], "tpu"),
        (["evaluate", "--weights", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_bad_input_ends_with_one_clear_line(arguments, words, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_summary_prints_the_table(capsys):
    assert cli.main(["summary", "--norm", "layer"]) == 0
    assert "Total params" in capsys.readouterr().out


def test_mutants_prints_a_row_a_wrong_answer(capsys, monkeypatch):
    from common.tests.exercises import mutants

    monkeypatch.setattr(mutants, "MUTANTS", mutants.MUTANTS[::20])
    assert cli.main(["mutants"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(mutants.MUTANTS) + 2
    assert not any(row.endswith("right") for row in rows)


def test_tuned_runs_have_a_name_of_their_own_where_the_rate_differs(tmp_path, monkeypatch):
    asked = []
    perform = lambda runs, *_, **__: asked.extend(runs) or []  # noqa: E731
    monkeypatch.setattr(experiments, "run_for_lessons", perform)
    monkeypatch.setattr(reports, "comparison_table", lambda _: "")
    command = ["accuracy", "--tuned", "--quick", "--norms", "batch", "layer"]
    assert cli.main([*command, "--out", str(tmp_path)]) == 0
    named = {run.name: run.recipe.learning_rate for run in asked}
    assert named == {"course-batch-tuned-seed1": 0.04, "course-layer-seed1": 0.02}
