"""The runs of the architecture search, and its log."""

import pickle
from dataclasses import replace

import pytest
import torch

from common import cli
from common.data.images import load_images
from common.experiments import runs, search
from common.experiments.search import LIMIT, OVER_LIMIT, Row
from common.networks.candidates import CANDIDATES
from common.networks.registry import count_parameters
from common.training.history import History, Score, epoch_row
from common.training.recipes import OWN_RATES

pytestmark = pytest.mark.usefixtures("few_images")

ROW = Row("gated", "gated", 47_258, "batch", "muon", 0.02, 4, 1, 45_000, 46.82, 28.31, 116, "early")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Networks this small gain nothing from more threads, which wait for each other when busy."""
    monkeypatch.setenv("NORMS_THREADS", "1")


def test_each_norms_own_learning_rate_is_the_best_of_the_logged_grid():
    grid: dict[str, dict[float, float]] = {}
    for row in search.load_log():
        if (row.name, row.epochs) == ("course", 4):
            grid.setdefault(row.norm, {})[row.learning_rate] = row.validation_accuracy
    assert set(grid) == {"batch", "group", "layer"}
    assert all(sorted(tried) == [0.01, 0.02, 0.04] for tried in grid.values())
    assert {norm: max(tried, key=tried.get) for norm, tried in grid.items()} == OWN_RATES


def test_the_grid_is_the_same_for_every_norm():
    runs = search.plan(["course"], ["batch", "group", "layer"], [0.01, 0.02, 0.04], epochs=2)
    tried = {norm: [r.recipe for r in runs if r.norm == norm] for norm in ("batch", "group")}
    assert len(runs) == 9
    assert tried["batch"] == tried["group"]
    assert [recipe.learning_rate for recipe in tried["batch"]] == [0.01, 0.02, 0.04]
    assert all(run.validation for run in runs)
    assert len({run.name for run in runs}) == 9


def test_runs_reach_other_processes_whole():
    (run,) = search.plan(["gated"])
    again = pickle.loads(pickle.dumps(run))
    assert count_parameters(again.builder(norm="group")) == count_parameters(
        CANDIDATES["gated"].build(norm="group")
    )


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(ValueError, match=r"resnet.*course.*inverted"):
        search.plan(["resnet"])
    with pytest.raises(ValueError, match="sgd"):
        search.plan(["course"], optimiser="lion")


def test_other_fields_of_the_recipe_are_named_as_they_are_logged():
    changes = search.parse_changes(["alternating=True", "sizes=16+24x3", "weight_decay=0.01"])
    assert changes == {"alternating": True, "sizes": (16, 24, 24, 24), "weight_decay": 0.01}
    (run,) = search.plan(["course"], epochs=6, changes=changes)
    assert run.recipe.sizes == (16, 24, 24, 24)
    assert run.name != search.plan(["course"], epochs=6)[0].name
    history = History("course", "batch", 1, run.recipe, search.LOGGED_DATASET)
    row = search.as_row(run, history, parameters=1)
    assert row.notes == "weight_decay 0.01; alternating; sizes 16x1+24x3"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("size=24", "no NAME=VALUE with one of .*sizes"),
        ("sizes", "no NAME=VALUE"),
        ("sizes=24y8", "sizes=24y8 cannot be read; name .* 16x1"),
        ("sizes=24x0", "sizes=24x0 cannot be read"),
        ("alternating=yes", "True or False"),
        ("epochs=3", "no NAME=VALUE"),
    ],
)
def test_a_change_that_cannot_be_read_is_refused(word, says):
    with pytest.raises(ValueError, match=says):
        search.parse_changes([word])


def test_a_search_ends_in_a_table_and_in_the_log_once(tmp_path, capsys, monkeypatch):
    log = tmp_path / "search.csv"
    search.add_to_log([ROW], log)
    command = ["search", "--candidates", "course", "pre-activation", "--learning-rates", "0.01"]
    command += ["--norms", "layer", "--epochs", "1", "--train-images", "32"]
    command += ["--jobs", "1", "--out", str(tmp_path), "--log", str(log)]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    kept = log.read_bytes()
    first, *rows = search.load_log(log)
    assert first == ROW
    tried = [(row.name, row.block, row.norm) for row in rows]
    assert tried == [("course", "inverted", "layer"), ("pre-activation", "pre-activation", "layer")]
    for row in rows:
        assert (row.train_images, row.epochs, row.epochs_done) == (32, 1, 1)
        assert 0 <= row.validation_accuracy <= 100
        assert row.parameters < LIMIT
        assert "validation split" in row.notes  # not CIFAR-10: the row has to say so
        assert f"{row.validation_accuracy:.2f}" in printed
    monkeypatch.setattr(runs, "fit", None)  # calling it would now fail
    assert cli.main(command) == 0
    assert log.read_bytes() == kept


@pytest.mark.parametrize(("rates", "status"), [(["1e20"], 1), (["1e20", "0.01"], 0)])
def test_a_search_of_which_nothing_is_left_ends_with_1(tmp_path, capsys, rates, status):
    command = ["search", "--candidates", "course", "--norms", "none", "--epochs", "1"]
    command += ["--train-images", "32", "--jobs", "1", "--out", str(tmp_path), "--change"]
    command += ["batch_size=16", "--learning-rates", *rates]
    assert cli.main(command) == status
    assert "loss became nan in epoch 1" in capsys.readouterr().out


def test_a_candidate_starts_from_its_seed(tmp_path, monkeypatch):
    started = []

    def fit(model, data, recipe, **_):
        started.append(model.state_dict())
        return History("x", "batch", 1, recipe, data.title)

    monkeypatch.setattr(runs, "fit", fit)
    before = torch.get_rng_state()
    for seed in (1, 1, 2):
        (run,) = search.plan(["gated"], seed=seed, data="shapes")
        runs.run_all([run], tmp_path / str(len(started)), jobs=1)
    one, same, other = (state["stem.0.weight"] for state in started)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_file_of_an_older_network_is_not_taken_for_this_one(tmp_path):
    (run,) = search.plan(["gated"], epochs=1, data="shapes")
    recipe = run.recipe.shortened()
    half = len(load_images("shapes").train) // 2
    images = {"train_images": half, "test_images": half}
    title = "shapes, validation split – quick mode"
    row = epoch_row(1, 0.1, Score(1.0, 1.0), Score(1.0, 1.0), 1.0)
    old = History("gated", "batch", 12, recipe, title, epochs=[row], train_accuracy=1.0, **images)
    old.save(tmp_path / f"{run.name}.json")
    with pytest.raises(ValueError, match=r"12 parameters.*Delete"):
        search.perform([run], tmp_path, jobs=1)


def test_a_diverged_run_has_a_row_that_says_so():
    (run,) = search.plan(["one-wide-norm"], epochs=3)
    history = History("one-wide-norm", "batch", 0, run.recipe, search.LOGGED_DATASET)
    history.failure = "The loss became nan."
    row = search.as_row(run, history, parameters=LIMIT)
    assert row.notes == f"{OVER_LIMIT}; The loss became nan."
    assert (row.epochs_done, row.validation_accuracy) == (0, None)


def test_the_table_ranks_what_can_be_compared():
    short = replace(ROW, epochs=2, epochs_done=2, validation_accuracy=99.0, name="short")
    better = replace(ROW, validation_accuracy=50.0, name="better")
    unmeasured = replace(ROW, epochs_done=0, validation_accuracy=None, name="unmeasured")
    lines = search.table([short, unmeasured, ROW, better]).splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["better", "gated", "unmeasured", "short"]


def test_another_file_is_not_taken_for_a_log(tmp_path):
    path = tmp_path / "search.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no log of the search"):
        search.add_to_log([ROW], path)
    assert path.read_text() == "a,b\n1,2\n"
    search.add_to_log([ROW], tmp_path / "good.csv")
    broken = (tmp_path / "good.csv").read_text().replace("45000", "many")
    path.write_text(broken)
    with pytest.raises(ValueError, match=r"line 2.*many"):
        search.load_log(path)


def test_a_run_that_only_took_another_time_is_no_other_run(tmp_path):
    path = tmp_path / "search.csv"
    runs = [
        replace(ROW, notes=f"seed {s}; {t} s on the clock") for s, t in [(1, 9), (1, 8), (2, 9)]
    ]
    search.add_to_log(runs[:1], path)
    search.add_to_log(runs[1:], path)
    assert search.load_log(path) == [runs[0], runs[2]]


def test_the_course_s_log_is_of_these_candidates_and_honest():
    rows = search.load_log()
    assert rows
    for row in rows:
        if row.name in CANDIDATES:  # the course network has changed on the way and may again
            candidate = CANDIDATES[row.name]
            assert row.parameters == count_parameters(candidate.build(norm=row.norm)), row
            assert row.block == candidate.block
        assert (OVER_LIMIT in row.notes) == (row.parameters >= LIMIT), row
        assert row.epochs_done == row.epochs or row.notes, row
        assert (row.validation_accuracy is None) == (row.epochs_done == 0), row


def test_quick_trials_stay_out_of_the_course_s_log(tmp_path, monkeypatch):
    assert search.default_log("cifar10", tmp_path) == tmp_path / "search.csv"
    monkeypatch.setenv("NORMS_QUICK", "0")
    assert search.default_log("cifar10", tmp_path) == search.LOG
    assert search.default_log("shapes", tmp_path) == tmp_path / "search.csv"
