"""Networks trained as one end where each would have ended alone."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import nn

from common.data.batches import Batches
from common.data.images import load_images
from common.data.types import ImageSet
from common.experiments import benchmark
from common.experiments.runs import Run, run_all
from common.experiments.runs import _groups as run_groups
from common.training import loop, together
from common.training.loop import fit, seeded_model
from common.training.optimisers import orthogonalise
from common.training.recipes import Recipe
from common.training.together import Stack, fit_together

MUON = Recipe(optimiser="muon", learning_rate=0.02, epochs=2, batch_size=16)
SMALL_FIRST = replace(MUON, sizes=(16,), alternating=True)
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def data():
    full = load_images("shapes")
    few = ImageSet(full.train.images[:64], full.train.labels[:64])
    return replace(full, train=few, test=ImageSet(full.test.images[:20], full.test.labels[:20]))


def networks(data, network="plain-18k", norm="batch", seeds=SEEDS):
    return [seeded_model(network, norm, data, seed) for seed in seeds]


def recipes(recipe=MUON, seeds=SEEDS):
    return [replace(recipe, seed=seed) for seed in seeds]


def trained(data, models=None, recipe=MUON, **options):
    models = models or networks(data)
    every = recipes(recipe)[: len(models)]
    return models, fit_together(models, data, every, progress="none", **options)


def assert_close(models, others, tolerance):
    for one, other in zip(models, others, strict=True):
        for name, value in one.state_dict().items():
            torch.testing.assert_close(
                value, other.state_dict()[name], rtol=tolerance, atol=tolerance, msg=name
            )


def test_a_stack_computes_what_its_networks_do(data):
    for network, norm in (("course", "batch"), ("course", "layer"), ("skip-48k", "group")):
        models = networks(data, network, norm)
        x = torch.randn(len(models), 8, 3, 32, 32)
        stack = Stack(models)
        for training_mode in (True, False):
            out = stack.train(training_mode)(x)
            alone = torch.stack(
                [m.train(training_mode)(part) for m, part in zip(models, x, strict=True)]
            )
            torch.testing.assert_close(out, alone, rtol=1e-4, atol=1e-5)


def test_a_stack_keeps_each_networks_running_statistics(data):
    models = networks(data, "skip-48k")
    stack = Stack(models).train()
    x = torch.randn(len(models), 8, 3, 32, 32)
    stack(x)
    for model, part in zip(models, x, strict=True):
        model.train()(part)
    copies = networks(data, "skip-48k")
    stack.share_out(copies)
    assert_close(copies, models, 1e-5)
    assert all(m.state_dict()[n] == 1 for m in copies for n in m.state_dict() if "tracked" in n)


def test_a_stack_leaves_its_networks_alone(data):
    models = networks(data)
    before = [{n: v.clone() for n, v in m.state_dict().items()} for m in models]
    with torch.no_grad():
        for value in Stack(models).parameters():
            value.zero_()
    for model, values in zip(models, before, strict=True):
        assert all(torch.equal(v, values[n]) for n, v in model.state_dict().items())


@pytest.mark.parametrize("norms", [("batch", "group"), ("group", "layer")])
def test_a_stack_needs_networks_of_the_same_layers(data, norms):
    with pytest.raises(ValueError, match="same layers"):
        Stack([seeded_model("course", norm, data, 1) for norm in norms])
    with pytest.raises(ValueError, match="at least one"):
        Stack([])


def test_dropout_draws_other_masks_for_each_network():
    stack = Stack([nn.Dropout(0.5), nn.Dropout(0.5)]).train()
    first, second = stack(torch.ones(2, 4, 3, 8, 8))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("shape", [(3, 16, 24), (3, 24, 16)])
def test_many_matrices_are_orthogonalised_as_each_is_alone(shape):
    matrices = torch.randn(shape)
    alone = torch.stack([orthogonalise(matrix) for matrix in matrices])
    torch.testing.assert_close(orthogonalise(matrices), alone, rtol=1e-4, atol=1e-5)


def test_every_network_gets_the_batches_of_its_own_seed(data):
    batches = Batches(data.train, data.mean, data.std, batch_size=16, alternating=True)

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in SEEDS]

    together_x, together_y = zip(*batches.together(generators(), 2, 20), strict=True)
    for k, generator in enumerate(generators()):
        for step, (x, y) in enumerate(batches.epoch(generator, 2, 20)):
            assert torch.equal(together_x[step][k], x)
            assert torch.equal(together_y[step][k], y)


@pytest.mark.parametrize(("network", "norm"), [("course", "batch"), ("plain-47k", "layer")])
@pytest.mark.parametrize(("optimiser", "rate"), [("muon", 0.02), ("sgd", 0.05), ("adamw", 1e-3)])
def test_a_few_steps_as_one_are_the_steps_of_each_alone(data, network, norm, optimiser, rate):
    recipe = replace(MUON, optimiser=optimiser, learning_rate=rate, weight_decay=1e-3)
    batches = Batches(data.train, data.mean, data.std, batch_size=16)
    models = networks(data, network, norm)
    for part in models:
        for module in part.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    stack = Stack(models)
    run = loop.TrainingState(stack.train(), recipe, 12, SEEDS)
    for x, y in islice(batches.together(run.generators), 2):
        losses, right = run.step(x, y)
    for k, (model, seed) in enumerate(zip(models, SEEDS, strict=True)):
        alone = loop.TrainingState(model.train(), replace(recipe, seed=seed), 12)
        for x, y in islice(batches.epoch(alone.generators[0]), 2):
            loss, hits = alone.step(x, y)
        torch.testing.assert_close(losses[k], loss, rtol=1e-3, atol=1e-3)
        assert right[k] == hits
    copies = networks(data, network, norm)
    stack.share_out(copies)
    if optimiser != "adamw":  # its first steps turn a gradient of pure rounding into a whole one
        assert_close(copies, models, 2e-3)


def test_runs_as_one_learn_what_they_learn_alone(data):
    # A network without dropout, which draws other masks as one.
    models, histories = trained(data, networks(data, "skip-48k"), SMALL_FIRST)
    for seed, model, history in zip(SEEDS, models, histories, strict=True):
        alone = seeded_model("skip-48k", "batch", data, seed)
        expected = fit(alone, data, replace(SMALL_FIRST, seed=seed), progress="none")
        assert history.recipe == expected.recipe
        assert history.finished
        assert history.together == 3
        assert expected.together == 1
        assert history.parameters == expected.parameters
        assert history.column("train_loss") == pytest.approx(expected.column("train_loss"), abs=0.1)
        assert history.column("learning_rate") == expected.column("learning_rate")
        assert not model.training
        found = loop.evaluate(model, data.test, data)
        assert found.accuracy == history.test_accuracy


def test_brief_runs_are_tested_as_brief_ones_alone(tmp_path, monkeypatch):
    tested, real = [], together.evaluate
    monkeypatch.setattr(loop, "GLANCE", 10)
    monkeypatch.setattr(
        together,
        "evaluate",
        lambda m, images, *a, **k: tested.append(len(images)) or real(m, images, *a, **k),
    )
    recipe = replace(MUON, optimiser="sgd", batch_size=64)
    runs = [
        Run("plain-11k", "group", replace(recipe, seed=seed), data="shapes", brief=True)
        for seed in (1, 2)
    ]
    histories = run_all(runs, tmp_path, jobs=1, together=2)
    assert tested == [10, 10, 100, 100]
    for history in histories:
        assert history.finished
        assert history.brief
        assert history.train_accuracy is None


def test_the_callers_random_state_is_left_alone(data):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    trained(data, networks(data, seeds=(1, 2)))
    assert torch.equal(torch.rand(1), expected)


def test_an_average_of_the_weights_is_kept_for_each(data):
    recipe = replace(MUON, optimiser="sgd", schedule="constant", average=0.9)
    batches = Batches(data.train, data.mean, data.std, batch_size=16)
    models = networks(data, "skip-48k")
    run = loop.TrainingState(Stack(models).train(), recipe, 1, SEEDS)  # from the first step on
    for x, y in islice(batches.together(run.generators), 3):
        run.step(x, y)
    averages = networks(data, "skip-48k")
    run.evaluated().share_out(averages)
    for seed, model, average in zip(SEEDS, models, averages, strict=True):
        alone = loop.TrainingState(model.train(), replace(recipe, seed=seed), 1)
        for x, y in islice(batches.epoch(alone.generators[0]), 3):
            alone.step(x, y)
        assert_close([average], [alone.evaluated()], 2e-3)
    run.model.share_out(models)
    weight = next(iter(averages[0].state_dict()))
    assert not torch.equal(averages[0].state_dict()[weight], models[0].state_dict()[weight])


def test_an_average_of_the_weights_is_what_is_evaluated_and_kept(data):
    models, histories = trained(data, recipe=replace(MUON, average=0.9))
    for model, history in zip(models, histories, strict=True):
        assert loop.evaluate(model, data.test, data).accuracy == history.test_accuracy


def test_one_that_diverges_does_not_stop_the_others(data):
    models = networks(data)
    with torch.no_grad():
        next(models[1].parameters()).fill_(float("nan"))
    _, (first, second, third) = trained(data, models)
    assert first.finished
    assert third.finished
    assert not first.failure
    assert "became nan in epoch 1" in second.failure
    assert not second.finished
    assert second.epochs == []


def test_one_whose_last_update_made_it_no_number_has_diverged(data, monkeypatch):
    step = together.TrainingState.step

    def breaking(run, x, y):
        found = step(run, x, y)
        if run.done == run.steps:
            with torch.no_grad():
                next(run.model.parameters())[1] = torch.nan
        return found

    monkeypatch.setattr(together.TrainingState, "step", breaking)
    _, (first, second, third) = trained(data)
    assert first.finished
    assert third.finished
    assert "The test loss became nan in epoch 2" in second.failure
    assert len(second.epochs) == 1


def test_all_that_diverge_end_the_run(data):
    models = networks(data)
    with torch.no_grad():
        for model in models:
            next(model.parameters()).fill_(float("nan"))
    _, histories = trained(data, models)
    assert all("epoch 1" in history.failure for history in histories)


def test_what_is_cut_off_goes_on_to_the_same_end(data, tmp_path, monkeypatch):
    expected, whole = trained(data)
    file = tmp_path / "runs.checkpoint"
    real = together._one_epoch

    def cut_off(*arguments):
        if arguments[-1] == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(together, "_one_epoch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        trained(data, checkpoint=file)
    monkeypatch.setattr(together, "_one_epoch", real)
    assert file.exists()
    models, histories = trained(data, checkpoint=file)
    for history, other in zip(histories, whole, strict=True):
        assert history.column("test_loss") == other.column("test_loss")
    for one, other in zip(models, expected, strict=True):
        pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_the_checkpoint_of_other_seeds_is_refused(data, tmp_path):
    file = tmp_path / "runs.checkpoint"
    trained(data, checkpoint=file)
    models = networks(data)
    others = recipes(seeds=(4, 5, 6))
    with pytest.raises(ValueError, match="belongs to another run: its recipe"):
        fit_together(models, data, others, progress="none", checkpoint=file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.1}, "share their recipe"),
        ({"schedule": "plateau"}, "one by one"),
        ({"augmentation": "randaugment"}, "one by one"),
    ],
)
def test_recipes_that_cannot_be_trained_as_one_are_refused(data, change, message):
    every = recipes()
    every = [replace(r, **change) for r in every] if "learning_rate" not in change else every
    every[0] = replace(every[0], **change)
    with pytest.raises(ValueError, match=message):
        fit_together(networks(data), data, every, progress="none")


def test_models_and_recipes_must_match_and_a_bar_cannot_show_them(data):
    with pytest.raises(ValueError, match="one recipe a model"):
        fit_together(networks(data), data, recipes()[:2], progress="none")
    with pytest.raises(ValueError, match="at least one model"):
        fit_together([], data, [], progress="none")
    with pytest.raises(ValueError, match="One bar"):
        fit_together(networks(data), data, recipes(), progress="bar")


def test_lines_say_which_seed_they_are_about(data, capsys):
    fit_together(networks(data), data, recipes(), network="plain-18k", norm="batch")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert [line.split("seed ")[1][0] for line in lines] == ["1", "2", "3"] * 2


def test_a_study_trains_seeds_as_one_and_everything_else_alone(tmp_path, monkeypatch):
    recipe = replace(MUON, epochs=1)
    plateau = replace(recipe, optimiser="adam", schedule="plateau")
    runs = [
        Run("plain-11k", norm, replace(recipe, seed=seed), data="shapes")
        for seed in SEEDS
        for norm in ("group",)
    ]
    runs += [
        Run("plain-11k", "group", replace(plateau, seed=seed), data="shapes", label="plateau")
        for seed in (1, 2)
    ]
    histories = run_all(runs, tmp_path, jobs=1, together=2, weights=True)
    assert [history.together for history in histories] == [2, 2, 1, 1, 1]
    assert [history.recipe.seed for history in histories] == [1, 2, 3, 1, 2]
    for run in runs:
        assert (tmp_path / f"{run.name}.json").exists()
        assert (tmp_path / f"{run.name}.safetensors").exists()
    assert not list(tmp_path.glob(".*"))

    def fails(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(together, "fit_together", fails)
    assert run_all(runs, tmp_path, jobs=1, together=2, weights=True) == histories


def test_a_study_keeps_the_order_it_was_given_where_nothing_is_trained_as_one(tmp_path):
    runs = [
        Run("plain-11k", norm, replace(MUON, seed=seed))
        for seed in SEEDS
        for norm in ("group", "layer")
    ]
    assert run_groups(runs, 1, lambda _: tmp_path) == [[run] for run in runs]
    in_twos = run_groups(runs, 2, lambda _: tmp_path)
    assert [(group[0].norm, len(group)) for group in in_twos] == [
        ("group", 2),
        ("layer", 2),
        ("group", 1),
        ("layer", 1),
    ]


def test_a_run_that_was_cut_off_on_its_own_goes_on_on_its_own(tmp_path):
    runs = [Run("plain-11k", "group", replace(MUON, seed=seed)) for seed in SEEDS]
    (tmp_path / f".{runs[1].name}.checkpoint").touch()
    groups = run_groups(runs, 3, lambda _: tmp_path)
    assert [[run.recipe.seed for run in group] for group in groups] == [[1, 3], [2]]


def test_a_trial_batch_is_laid_out_like_those_to_come(data):
    batches = Batches(data.train, data.mean, data.std, batch_size=16)
    run = loop.TrainingState(Stack(networks(data)), MUON, 4, SEEDS)
    trial, real = together._first(run, batches), next(batches.together(run.generators))
    for one, other in zip(trial, real, strict=True):
        assert (one.shape, one.stride(), one.dtype) == (other.shape, other.stride(), other.dtype)


def test_bfloat16_is_left_out_aloud(data, monkeypatch):
    monkeypatch.setenv("NORMS_BF16", "1")
    with pytest.warns(UserWarning, match="do without bfloat16"):
        _, histories = trained(data)
    assert [history.acceleration for history in histories] == [""] * 3


def test_a_study_needs_at_least_one_run_at_a_time(tmp_path):
    with pytest.raises(ValueError, match="together is 0"):
        run_all([Run("plain-11k", "group", MUON, data="shapes")], tmp_path, together=0)


def test_the_benchmark_times_seeds_as_one(data):
    plan = benchmark.Plan(
        "plain-11k", "shapes", "cpu", batches=1, rounds=1, workers=(), at_once=(), accelerated=True
    )
    trainer = benchmark.Trainer(plan.network, "group", data, torch.device("cpu"), seeds=2)
    x, y = next(trainer.own())
    assert x.shape[:2] == (2, 32)
    assert y.shape == (2, 32)
    assert trainer.speed(trainer.own(), 1) > 0
