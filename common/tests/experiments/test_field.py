"""The networks of the field: what is claimed of them, their recipes, and the study's runs."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from common import cli
from common.experiments import shipped
from common.experiments.field import FIELD, PLAIN, SEEDS, SKIP, WIDE, field_runs
from common.experiments.shipped import (
    field_histories,
    load_shipped,
    shipped_histories,
    train_or_load,
)
from common.networks.registry import NETWORKS, build, count_parameters
from common.tests.data.fake_cifar10 import like_cifar10
from common.training.history import History
from common.training.optimisers import cycled_momentum, learning_rate_factor, make_optimisers
from common.training.recipes import Recipe, course_recipe

pytestmark = pytest.mark.usefixtures("few_images")


def test_every_network_of_the_field_is_there_with_every_norm_its_source_names():
    pairs = [(entry.network, entry.norm) for entry in FIELD]
    assert len(set(pairs)) == len(pairs)
    assert {network for network, _ in pairs} == set(NETWORKS) - {"course"}
    for network in ("plain-18k", "wide-31k", "wide-31k-adaptive", "skip-48k"):
        assert {norm for name, norm in pairs if name == network} == {"batch", "group", "layer"}
    for network, norm in pairs:
        assert count_parameters(build(network, norm)) < 50_000


def test_a_claim_is_of_the_last_epoch_of_the_source_s_own_recipe():
    for entry in FIELD:
        if entry.claim:
            assert entry.claim.epochs == entry.recipe.epochs
            assert entry.claim.best is None or entry.claim.best > entry.claim.test


def test_a_network_that_a_source_never_trained_has_no_claim_and_says_why():
    silent = {(entry.network, entry.norm) for entry in FIELD if entry.claim is None}
    assert {("plain-18k", "group"), ("plain-11k", "group"), ("plain-44k", "layer")} <= silent
    assert all(entry.note for entry in FIELD if entry.claim is None)


def test_every_source_says_what_was_repaired():
    assert all(source.repairs for source in (PLAIN, WIDE, SKIP))


def test_the_study_s_names_never_clash_with_the_lessons_runs():
    names = [run.name for run in field_runs()]
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith("course-")]
    assert "plain-18k-batch-source-seed1" in names
    assert "plain-18k-batch-course-seed3" in names


def test_every_network_is_trained_with_its_own_recipe_once_and_with_the_course_s_three_times():
    runs = field_runs()
    own = [run for run in runs if run.label == "source"]
    assert len(own) == sum(entry.recipe is not None for entry in FIELD)
    assert len(runs) - len(own) == len(FIELD) * len(SEEDS["course"])
    for run in runs:
        if run.label == "course":
            assert run.recipe == course_recipe(run.norm, run.recipe.seed)
    plain = next(run for run in own if (run.network, run.norm) == ("plain-27k", "layer"))
    assert (plain.recipe.batch_size, plain.recipe.weight_decay) == (32, 1e-5)


def test_the_first_seed_of_every_network_comes_before_any_second():
    seeds = [run.recipe.seed for run in field_runs()]
    assert seeds == sorted(seeds)


def test_a_part_of_the_study_can_be_chosen():
    runs = field_runs(["course"], ["skip-48k"], ["group", "layer"], [7])
    assert [run.name for run in runs] == [
        "skip-48k-group-course-seed7",
        "skip-48k-layer-course-seed7",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"recipes": ["mine"]}, "no recipe 'mine'; it has source, course"),
        ({"networks": ["course"]}, "no network 'course'; it has plain-18k"),
        ({"norms": ["none"]}, "no norm 'none'"),
        ({"recipes": ["source"], "networks": ["wide-31k-adaptive"]}, "--recipes course"),
        ({"networks": ["plain-11k"], "norms": ["batch"]}, "Nothing is left"),
    ],
)
def test_what_the_field_does_not_hold_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        field_runs(**arguments)


def test_the_command_trains_both_recipes_and_goes_on_where_it_was(tmp_path, capsys):
    command = ["field", "--networks", "plain-11k", "skip-48k", "--norms", "group"]
    command += ["--seeds", "1", "--jobs", "1", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    table = capsys.readouterr().out
    assert "| `skip-48k` | GroupNorm, 2 groups | 48,136 | 20 | 74.97 (72.77) |" in table
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(written) == {
        f"{network}-group-{recipe}-seed1.json"
        for network in ("plain-11k", "skip-48k")
        for recipe in ("source", "course")
    } | {f"{network}-group-course-seed1.safetensors" for network in ("plain-11k", "skip-48k")}
    assert cli.main(command) == 0
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written


def test_quick_runs_do_not_get_into_the_lessons_results(capsys):
    assert cli.main(["field", "--quick"]) == 2
    assert "--out" in capsys.readouterr().err


# What the sources' recipes need of the training loop ----------------------------------------------


def test_the_cosine_cycle_is_pytorch_s_own():
    steps, rate = 200, 0.5
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    optimiser = torch.optim.SGD([weight], lr=rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps)
    for step in range(steps):
        mine = rate * learning_rate_factor("one-cycle-cosine", step / steps, warmup=0.3)
        momentum = cycled_momentum("one-cycle-cosine", step / steps, warmup=0.3)
        # PyTorch's peak is one step earlier.
        assert mine == pytest.approx(optimiser.param_groups[0]["lr"], abs=0.02 * rate)
        assert momentum == pytest.approx(optimiser.param_groups[0]["momentum"], abs=0.002)
        optimiser.step()
        schedule.step()


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant", "plateau"])
def test_other_schedules_leave_the_momentum_alone(schedule):
    assert cycled_momentum(schedule, 0.5) is None


@pytest.mark.parametrize("nesterov", [True, False])
def test_momentum_is_nesterov_s_unless_the_recipe_says_otherwise(nesterov):
    (optimiser,) = make_optimisers(torch.nn.Linear(2, 2), "sgd", 0.1, nesterov=nesterov)
    assert optimiser.defaults["nesterov"] is nesterov


def test_a_history_from_before_these_settings_still_loads(tmp_path):
    history = History("course", "batch", 1, Recipe(seed=4), "shapes")
    values = asdict(history)
    for name in ("nesterov", "patience"):
        del values["recipe"][name]
    (tmp_path / "old.json").write_text(json.dumps(values))
    assert History.load(tmp_path / "old.json") == history


def test_patience_must_not_be_negative():
    with pytest.raises(ValueError, match="patience is -1; it must be 0 or more"):
        replace(Recipe(), patience=-1)


def test_a_lesson_finds_the_shipped_runs_of_a_network_with_every_norm():
    runs = field_histories("wide-31k", "source")
    assert {run.network for run in runs} == {"wide-31k"}
    assert {run.norm for run in runs} == {"batch", "group", "layer"}
    assert all(run.recipe.batch_size == 512 for run in runs)


def test_a_network_that_is_not_shipped_names_the_command_that_trains_it():
    with pytest.raises(FileNotFoundError, match="field --networks wide-99k --recipes source"):
        field_histories("wide-99k", "source")


@pytest.mark.parametrize("entry", FIELD, ids=lambda entry: f"{entry.network}-{entry.norm}")
def test_every_network_of_the_field_comes_with_weights_from_the_course_s_recipe(entry):
    model, history = load_shipped(entry.norm, entry.network)
    assert (history.network, history.norm) == (entry.network, entry.norm)
    assert history.recipe == course_recipe(entry.norm, history.seed)
    assert not model.training
    assert count_parameters(model) == history.parameters


def test_a_lesson_loads_the_network_whose_name_was_changed(monkeypatch, capsys):
    data = like_cifar10()
    _, history = train_or_load("group", data, network="plain-11k")
    assert (history.network, history.norm) == ("plain-11k", "group")
    assert "Loaded the shipped run of plain-11k with group norm" in capsys.readouterr().out

    trained = []
    monkeypatch.setattr(shipped, "_train_and_keep", lambda norm, *_: trained.append(norm))
    train_or_load("batch", data, network="plain-11k")  # not one of the field's
    train_or_load("group", data, network="plain-11k", train=True)
    train_or_load("group", replace(data, name="shapes"), network="plain-11k")
    assert trained == ["batch", "group", "group"]


def test_the_weights_of_another_network_can_be_evaluated(capsys):
    assert cli.main(["evaluate", "--network", "skip-48k", "--norm", "layer"]) == 0
    assert "skip-48k with layer norm" in capsys.readouterr().out


def test_what_is_not_shipped_says_how_to_train_it(capsys):
    with pytest.raises(FileNotFoundError, match="train --network plain-11k --norm layer"):
        shipped_histories("plain-11k", "layer")
    assert cli.main(["evaluate", "--network", "plain-11k"]) == 2
    assert "'plain-11k' with batch norm, only with group. Train" in capsys.readouterr().err
    assert cli.main(["evaluate", "--network", "resnet-1000"]) == 2
    assert "Unknown network 'resnet-1000'" in capsys.readouterr().err
