"""The training loop: what it promises about results, interruptions, histories and bad input."""

import itertools
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.data.batches import Batches, resized
from common.data.images import load_images
from common.data.types import ImageData, ImageSet
from common.training import loop
from common.training.evaluation import evaluate, predict
from common.training.history import Diverged, History
from common.training.loop import fit, seeded_model
from common.training.optimisers import learning_rate_factor, make_optimisers, orthogonalise
from common.training.recipes import Recipe

RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.05)


@pytest.fixture(scope="module")
def data() -> ImageData:
    full = load_images("shapes")
    few = ImageSet(full.train.images[:48], full.train.labels[:48])
    return replace(full, train=few, test=ImageSet(full.test.images[:20], full.test.labels[:20]))


@pytest.fixture
def trained(data):
    model = seeded_model("course", "batch", data, seed=1)
    return model, fit(model, data, RECIPE, network="course", norm="batch", progress="none")


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_history_says_what_was_done(trained, data):
    _, history = trained
    assert history.finished
    assert [row["epoch"] for row in history.epochs] == [1, 2]
    assert history.dataset == data.title
    assert "quick mode" in history.dataset
    assert history.quick
    assert (history.train_images, history.test_images) == (48, 20)
    assert history.recipe == RECIPE
    assert history.test_accuracy == history.column("test_accuracy")[-1]


def test_train_accuracy_is_of_the_whole_training_set_in_evaluation_mode(trained, data):
    model, history = trained
    assert not model.training
    right = (predict(model, data.train, data).argmax(1) == data.train.labels).float().mean()
    assert history.train_accuracy == pytest.approx(100 * right.item())


def test_one_seed_gives_one_result_and_another_seed_another(trained, data):
    model, history = trained
    again = seeded_model("course", "batch", data, seed=1)
    repeated = fit(again, data, RECIPE, progress="none")
    assert repeated.column("test_loss") == history.column("test_loss")
    assert same_weights(model, again)
    other = seeded_model("course", "batch", data, seed=2)
    different = fit(other, data, replace(RECIPE, seed=2), progress="none")
    assert different.column("test_loss") != history.column("test_loss")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimiser": "muon", "average": 0.9},
        {"schedule": "plateau", "sizes": (16,), "alternating": True},
    ],
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(data, tmp_path, monkeypatch, changes):
    recipe = replace(RECIPE, **changes)
    whole = seeded_model("course", "batch", data, seed=1)
    expected = fit(whole, data, recipe, network="course", norm="batch", progress="none")

    file = tmp_path / "run.checkpoint"
    save = loop.TrainingState.save

    def save_then_stop(self, path, history):
        save(self, path, history)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.TrainingState, "save", save_then_stop)
    resumed = seeded_model("course", "batch", data, seed=1)
    arguments = {"network": "course", "norm": "batch", "progress": "none", "checkpoint": file}
    with pytest.raises(KeyboardInterrupt):
        fit(resumed, data, recipe, **arguments)
    monkeypatch.setattr(loop.TrainingState, "save", save)
    resumed = seeded_model("course", "batch", data, seed=99)  # its weights come from the file
    history = fit(resumed, data, recipe, **arguments)
    assert history.column("test_loss") == expected.column("test_loss")
    assert same_weights(whole, resumed)


def test_a_run_that_has_ended_can_be_had_again_from_its_checkpoint(data, tmp_path, monkeypatch):
    file = tmp_path / "run.checkpoint"
    model = seeded_model("course", "batch", data, seed=1)
    history = fit(model, data, RECIPE, progress="none", checkpoint=file)
    monkeypatch.setattr(loop.TrainingState, "step", None)  # taking one would now fail
    again = seeded_model("course", "batch", data, seed=1)
    assert fit(again, data, RECIPE, progress="none", checkpoint=file).epochs == history.epochs
    assert same_weights(model, again)


def test_a_checkpoint_of_another_run_is_refused(data, tmp_path):
    file = tmp_path / "run.checkpoint"
    fit(seeded_model("course", "batch", data, 1), data, RECIPE, progress="none", checkpoint=file)
    with pytest.raises(ValueError, match="belongs to another run: its recipe"):
        fit(
            seeded_model("course", "batch", data, 1),
            data,
            replace(RECIPE, seed=5),
            progress="none",
            checkpoint=file,
        )


def test_the_callers_random_state_is_left_alone(data):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    fit(seeded_model("course", "batch", data, 1), data, replace(RECIPE, epochs=1), progress="none")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("schedule", ["plateau", "one-cycle"])
def test_an_epoch_s_learning_rate_is_that_of_its_last_step(data, monkeypatch, schedule):
    rates, step, end = [], loop.TrainingState.step, loop.TrainingState.end_epoch

    def watched(run, x, y):
        found = step(run, x, y)
        rates.append(run.learning_rate())
        return found

    monkeypatch.setattr(loop.TrainingState, "step", watched)
    monkeypatch.setattr(loop.TrainingState, "end_epoch", lambda run, _: end(run, 1.0))  # no better
    recipe = replace(RECIPE, schedule=schedule, patience=0)
    history = fit(seeded_model("course", "batch", data, 1), data, recipe, progress="none")
    assert history.column("learning_rate") == rates[2::3]


def test_a_loss_that_is_no_number_stops_the_run(data):
    model = seeded_model("course", "none", data, seed=1)
    with pytest.raises(Diverged, match="learning rate") as caught:
        fit(model, data, replace(RECIPE, learning_rate=1e20, warmup=0.0), progress="none")
    history = caught.value.history
    assert history.failure == str(caught.value)
    assert history.parameters == sum(p.numel() for p in model.parameters())
    assert history.seconds > 0


def test_weights_that_the_last_update_made_no_numbers_stop_the_run(data, monkeypatch):
    step = loop.TrainingState.step

    def breaking(run, x, y):
        found = step(run, x, y)
        if run.done == run.steps:
            with torch.no_grad():
                next(run.model.parameters()).fill_(torch.nan)
        return found

    monkeypatch.setattr(loop.TrainingState, "step", breaking)
    model = seeded_model("course", "batch", data, seed=1)
    with pytest.raises(Diverged, match="The test loss became nan in epoch 2") as caught:
        fit(model, data, RECIPE, progress="none")
    assert len(caught.value.history.epochs) == 1
    assert not caught.value.history.finished


def test_too_few_images_for_a_batch(data):
    few = replace(data, train=ImageSet(data.train.images[:8], data.train.labels[:8]))
    model = seeded_model("course", "batch", few, seed=1)
    with pytest.raises(ValueError, match="16 images cannot be cut from 8"):
        fit(model, few, RECIPE, progress="none")


def test_a_batch_of_one_value_a_channel_is_refused_by_batch_norm(data):
    model = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 10)
    )
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        fit(model, data, replace(RECIPE, batch_size=1), progress="none")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimiser": "adamm"}, "Unknown optimiser 'adamm'; choose one of sgd"),
        ({"schedule": "step"}, "Unknown schedule"),
        ({"epochs": 0}, "epochs is 0; it must be 1 or more"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"label_smoothing": 1.0}, "below 1"),
        ({"flip": False, "alternating": True}, "alternating is True; it must be off where flip is"),
        ({"sizes": 16}, "sizes is 16; it must be a tuple"),
        ({"sizes": (8,)}, r"sizes is \(8,\); it must be .*whole numbers from 16 up"),
        ({"sizes": (16, 24)}, "shorter than the 2 epochs"),
    ],
)
def test_a_recipe_names_what_is_wrong(change, words):
    with pytest.raises(ValueError, match=words):
        replace(RECIPE, **change)


def test_a_log_gets_a_line_an_epoch_where_a_bar_was_asked_for(data, capsys, monkeypatch):
    model = seeded_model("plain-11k", "group", data, 1)
    fit(model, data, RECIPE, network="plain-11k", norm="group")
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [line.split("epoch ")[1].split(":")[0] for line in lines] == ["1/2", "2/2"]
    assert [line.endswith(" left") for line in lines] == [True, True]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    fit(model, data, RECIPE, network="plain-11k", norm="group")
    shown = capsys.readouterr()
    last = re.split(r"[\r\n]+", shown.err.strip())[-1]
    assert shown.out == ""
    assert re.match(r"plain-11k group: 0\d:\d\d, test [\d.]+%, train \d+%, loss", last)


def test_a_brief_run_is_tested_with_all_images_in_the_end_only(data, monkeypatch):
    tested, real = [], loop.evaluate
    monkeypatch.setattr(loop, "GLANCE", 10)
    monkeypatch.setattr(
        loop,
        "evaluate",
        lambda m, images, *a, **k: tested.append(images) or real(m, images, *a, **k),
    )
    model = seeded_model("plain-11k", "group", data, 1)
    history = fit(model, data, RECIPE, progress="none", brief=True)
    assert [len(images) for images in tested] == [10, 20]
    assert history.finished
    assert history.brief
    assert history.train_accuracy is None
    assert History.from_json(history.to_json()) == history


def test_an_unknown_progress_is_refused_before_training(data):
    with pytest.raises(ValueError, match="bar, lines, none"):
        fit(seeded_model("course", "batch", data, 1), data, RECIPE, progress="loud")


def test_histories_survive_json(trained, tmp_path):
    _, history = trained
    path = history.save(tmp_path / "deep" / "history.json")
    assert History.load(path) == history
    assert [p.name for p in path.parent.iterdir()] == ["history.json"]


@pytest.mark.parametrize("text", ["", "{}", '{"recipe": {"epoch": 3}}', "[1, 2]"])
def test_a_file_that_is_no_history_is_named(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"odd\.json holds no history"):
        History.load(path)


def test_evaluate_leaves_the_model_as_it_was(data):
    model = seeded_model("course", "batch", data, seed=1).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    score = evaluate(model, data.test, data)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert 0 <= score.accuracy <= 100


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: replace(p, images=p.images / 255), "must be torch.uint8"),
        (lambda p: replace(p, labels=p.labels[:1]), "one an image"),
        (lambda p: replace(p, labels=p.labels + 9), "of 10 classes"),
    ],
)
def test_images_that_no_network_is_evaluated_on_are_refused(data, change, words):
    model = seeded_model("course", "batch", data, seed=1)
    with pytest.raises(ValueError, match=words):
        evaluate(model, change(data.test), data)


def test_networks_of_other_classes_and_other_devices_are_refused(data):
    for model in (nn.Flatten(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())):
        with pytest.raises(ValueError, match=r"it must be \(20, 10\)"):
            evaluate(model, data.test, data)
    with pytest.raises(ValueError, match="'tpu' is not available"):
        predict(nn.Flatten(), data.test, data, device="tpu")


def test_a_network_of_which_nothing_learns_is_refused(data):
    frozen = seeded_model("course", "batch", data, seed=1).requires_grad_(False)
    with pytest.raises(ValueError, match="Nothing in the network learns"):
        fit(frozen, data, RECIPE, progress="none")


@pytest.mark.parametrize("change", [lambda i: i.float(), lambda i: i[:, :1], lambda i: i[:9]])
def test_batches_are_cut_from_bytes_in_three_channels_alone(data, change):
    wrong = replace(data.train, images=change(data.train.images))
    with pytest.raises(ValueError, match=r"must be torch\.(uint8 \(N, 3|int64, one an image)"):
        Batches(wrong, data.mean, data.std, batch_size=2)
    for more in ({"batch_size": 2.5}, {"batch_size": 2, "shift": 1.5}):
        with pytest.raises(ValueError, match="choose"):
            Batches(data.train, data.mean, data.std, **more)


def test_a_network_that_returns_log_probabilities_has_the_same_loss(data):
    model = seeded_model("course", "batch", data, seed=1)
    with_softmax = nn.Sequential(model, nn.LogSoftmax(dim=1))
    plain, softened = (evaluate(m, data.test, data).loss for m in (model, with_softmax))
    assert plain == pytest.approx(softened, rel=1e-6)


def test_batches_hold_shifted_and_flipped_copies_of_the_right_images(data):
    batches = Batches(data.train, data.mean, data.std, batch_size=32, shift=2)
    generator = torch.Generator().manual_seed(0)
    x, y = next(batches.epoch(generator))
    assert x.shape == (32, 3, 32, 32)
    assert x.dtype == torch.float32
    pixels = (x / batches.normalise.scale + batches.normalise.shift).round().to(torch.uint8)
    inside = slice(4, 28)
    for image, label in zip(pixels, y, strict=True):
        candidates = data.train.images[data.train.labels == label]
        views = [
            view.roll((down, right), (2, 3))[..., inside, inside]
            for view in (candidates, candidates.flip(3))
            for down in range(-2, 3)
            for right in range(-2, 3)
        ]
        assert any((view == image[:, inside, inside]).all((1, 2, 3)).any() for view in views)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_a_crop_is_cut_from_the_picture_with_its_edges_reflected(data, shift, mirror):
    images = data.train.images[:5, :, :20]  # not square: rows and columns must not be mixed up
    batches = Batches(
        ImageSet(images, data.train.labels[:5]), data.mean, data.std, batch_size=5, shift=shift
    )
    padded = F.pad(images.float(), (shift,) * 4, mode="reflect").to(torch.uint8)
    index, mirrored = torch.arange(5), torch.full((5,), mirror)
    for down, right in itertools.product(range(2 * shift + 1), repeat=2):
        expected = padded[..., down : down + 20, right : right + 32]
        here = torch.full((5,), down), torch.full((5,), right)
        crops = batches.augment(index, *here, mirrored)
        assert torch.equal(crops, expected.flip(3) if mirror else expected)


def test_an_epoch_shows_every_image_once(data):
    numbered = ImageSet(data.train.images, torch.arange(48))
    batches = Batches(numbered, data.mean, data.std, batch_size=16)
    seen = torch.cat([y for _, y in batches.epoch(torch.Generator().manual_seed(3))])
    assert sorted(seen.tolist()) == list(range(48))


def test_without_shift_and_flip_the_images_are_untouched(data):
    batches = Batches(data.train, data.mean, data.std, batch_size=48, shift=0, flip=False)
    x, _ = next(batches.epoch(torch.Generator().manual_seed(0)))
    assert x.mean((0, 2, 3)).abs().max() < 0.5  # normalised with the full set's statistics
    raw = data.train.images.float().sub(batches.normalise.shift).mul(batches.normalise.scale)
    assert torch.allclose(x.sum().double(), raw.sum().double(), rtol=1e-3)


@pytest.mark.parametrize(("flip", "alternating"), [(True, True), (True, False), (False, False)])
def test_alternating_mirrors_every_image_in_every_other_epoch(data, flip, alternating):
    batches = Batches(
        data.train,
        data.mean,
        data.std,
        batch_size=48,
        shift=0,
        flip=flip,
        alternating=alternating,
    )
    generator, views = torch.Generator().manual_seed(0), []
    for number in range(1, 4):
        twin = torch.Generator().manual_seed(0).set_state(generator.get_state())
        order = batches._draw(twin, number)[0]
        x, _ = next(batches.epoch(generator, number))
        views.append(x[order.argsort()])  # the images in the order of the data set
    as_they_are = batches.normalise(data.train.images)
    mirrored = torch.stack([(x != as_they_are).any((1, 2, 3)) for x in views])
    assert (mirrored.any() and not mirrored.all()) == flip
    changes = (mirrored[1:] != mirrored[:-1]).float().mean()
    assert (0.3 < changes < 0.7) if flip and not alternating else changes == float(alternating)
    assert torch.equal(mirrored[0], mirrored[2]) == (alternating or not flip)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 3, 40, 20)])
def test_images_are_resized_as_torch_does_it(shape):
    x = torch.randn(shape)
    size = [n * 16 // min(shape[2:]) for n in shape[2:]]
    expected = F.interpolate(x, size, mode="bilinear", antialias=True)
    torch.testing.assert_close(resized(x, 16), expected)
    last = resized(x.contiguous(memory_format=torch.channels_last), 16)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert resized(x, 40) is resized(x, None) is x


def test_the_first_epochs_are_trained_and_tested_at_their_sizes(data, monkeypatch):
    recipe, seen = replace(RECIPE, sizes=(20,)), []
    model = seeded_model("course", "batch", data, seed=1)
    model.register_forward_pre_hook(lambda m, x: seen.append((m.training, x[0].shape[-1])))
    history = fit(model, data, recipe, progress="none")
    in_order = list(dict.fromkeys(seen[1:]))  # the first look is at what the network returns
    assert in_order == [(training, size) for size in (20, 32) for training in (True, False)]
    assert History.from_json(history.to_json()) == history
    assert replace(recipe, epochs=4, sizes=(16, 20, 24)).shortened().sizes == (16,)


def test_a_network_for_one_size_is_not_trained_on_smaller_images(data):
    model = seeded_model("plain-18k", "batch", data, seed=1)
    with pytest.raises(ValueError, match=r"built for images of 32×32 .*first epochs .* at 16: .*"):
        fit(model, data, replace(RECIPE, sizes=(16,)), progress="none")


def test_randaugment_changes_images_but_not_their_shape(data):
    batches = Batches(data.train, data.mean, data.std, batch_size=16, randaugment=True)
    basic = Batches(data.train, data.mean, data.std, batch_size=16)
    x, _ = next(batches.epoch(torch.Generator().manual_seed(0)))
    plain, _ = next(basic.epoch(torch.Generator().manual_seed(0)))
    assert x.shape == plain.shape
    assert not torch.equal(x, plain)


def test_weight_decay_spares_norms_and_biases(data):
    model = seeded_model("course", "batch", data, seed=1)
    (optimiser,) = make_optimisers(model, "sgd", 0.1, weight_decay=0.5)
    decayed, spared = optimiser.param_groups
    assert all(p.ndim > 1 for p in decayed["params"])
    assert decayed["weight_decay"] == 0.5
    assert all(p.ndim <= 1 for p in spared["params"])
    assert spared["weight_decay"] == 0.0


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon"])
def test_every_optimiser_trains_every_parameter(data, name):
    model = seeded_model("course", "batch", data, seed=1)
    optimisers = make_optimisers(model, name, 0.01)
    held = [p for o in optimisers for g in o.param_groups for p in g["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}
    assert len(held) == len({id(p) for p in held})


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_orthogonalise_makes_singular_values_about_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_the_one_cycle_rises_then_falls_to_zero():
    factors = [learning_rate_factor("one-cycle", i / 100, warmup=0.2) for i in range(101)]
    assert factors[0] == pytest.approx(0.05)
    assert factors[20] == max(factors) == pytest.approx(1.0)
    assert factors[100] == pytest.approx(0.0)
    assert factors == sorted(factors[:21]) + sorted(factors[21:], reverse=True)


def test_a_recipe_tells_what_is_on_and_plays_a_part():
    muon = Recipe(optimiser="muon", schedule="one-cycle", weight_decay=0).in_force()
    assert {"momentum", "side_learning_rate", "warmup", "seed", "flip"} <= muon.keys()
    assert muon.keys().isdisjoint({"nesterov", "patience", "weight_decay", "sizes", "average"})
    sgd = Recipe(optimiser="sgd", schedule="plateau", augmentation="randaugment", sizes=(16,))
    assert {"nesterov", "momentum", "patience", "augmentation", "sizes"} <= sgd.in_force().keys()
    assert sgd.in_force().keys().isdisjoint({"side_learning_rate", "warmup"})
    assert "momentum" not in Recipe(optimiser="adam").in_force()
