"""Results of other images, weights of another task, files of somebody else: said and refused."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from common import cli, experiments, files, settings
from common.data import load_images
from common.experiments import runs, shipped, weights
from common.experiments.laboratory.declare import label
from common.experiments.laboratory.kept import Images, Line, keep, load
from common.experiments.runs import Run, run_all
from common.experiments.workers import end_with
from common.settings import LESSONS, ROOT
from common.tests.data.test_images import picture
from common.tests.experiments.toy_study import TOY
from common.training import Recipe, fit, seeded_model
from common.training.history import History, Interrupted
from common.training.state import TrainingState

RECIPE = Recipe(epochs=1, batch_size=32)
RUN = Run("course", "batch", RECIPE, data="shapes")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one run, its history and weights; copy what is to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    run_all([RUN], folder, jobs=1, weights=True)
    return folder


@pytest.fixture
def copy(trained, tmp_path):
    for path in trained.glob("course*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(TrainingState, "step", None)  # a training step would now fail


def serve(monkeypatch, data):
    monkeypatch.setattr("common.data.load_images", lambda _: data)


def relabelled(data):
    labels = data.train.labels.clone()
    labels[0] = (labels[0] + 1) % len(data.classes)
    return replace(data, train=replace(data.train, labels=labels))


# ---- results of other images -----------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    "change",
    [relabelled, lambda data: replace(data, classes=tuple(name.upper() for name in data.classes))],
    ids=["a label", "names"],
)
def test_runs_on_images_that_have_changed_are_not_taken(
    copy, monkeypatch, no_training, change, seed
):
    serve(monkeypatch, change(load_images("shapes")))
    run = replace(RUN, recipe=replace(RECIPE, seed=seed))
    with pytest.raises(ValueError, match=r"seed1\.json holds a run on other images .*names differ"):
        run_all([run], copy, jobs=1)


@pytest.mark.parametrize("options", [{"validation": True}, {"train_images": 100}])
def test_parts_of_the_images_have_fingerprints_of_their_own(tmp_path, monkeypatch, options):
    run = replace(RUN, label="part", **options)
    (history,) = run_all([run], tmp_path, jobs=1)
    assert len(history.fingerprint) == 32
    assert history.fingerprint != load_images("shapes").fingerprint
    assert run_all([run], tmp_path, jobs=1) == [history]
    serve(monkeypatch, relabelled(load_images("shapes")))
    with pytest.raises(ValueError, match="other images"):
        run_all([run], tmp_path, jobs=1)


def test_a_run_without_a_fingerprint_is_told_by_title_and_numbers(copy, no_training):
    path = copy / "course-batch-seed1.json"
    old = replace(History.load(path), fingerprint="")
    old.save(path)
    assert run_all([RUN], copy, jobs=1) == [old]
    replace(old, test_images=7).save(path)
    with pytest.raises(ValueError, match="7 to test"):
        run_all([RUN], copy, jobs=1)


def age(path):
    """Make a kept run one of a network that had another parameter."""
    old = History.load(path)
    return replace(old, parameters=old.parameters - 1).save(path)


def test_runs_of_a_network_that_has_changed_are_not_taken(copy, no_training):
    age(copy / "course-batch-seed1.json")
    with pytest.raises(ValueError, match=r"seed1\.json was trained with a course network of .*now"):
        run_all([RUN], copy, jobs=1)


def test_a_lesson_does_not_take_its_run_of_a_network_that_has_changed(
    copy, no_training, monkeypatch
):
    monkeypatch.setattr(shipped, "RUNS", copy)
    monkeypatch.setattr("common.training.course_recipe", lambda *_: RECIPE)
    place = copy / "lessons" / "shapes-quick-mode" / "course-batch-seed1.json"
    place.parent.mkdir(parents=True)
    age((copy / place.name).rename(place))
    with pytest.raises(ValueError, match="was trained with a course network"):
        shipped.train_or_load("batch", load_images("shapes"))


def test_what_is_shipped_of_a_network_that_has_changed_is_not_taken(copy, monkeypatch, capsys):
    monkeypatch.setenv("NORMS_QUICK", "0")
    monkeypatch.setattr("common.data.load_images", None)  # looking would now fail
    kept = experiments.weights_of(experiments.shipped_run("course", "batch")).with_suffix(".json")
    age(Path(shutil.copy(kept, copy)))
    monkeypatch.setattr(shipped, "results_folder", lambda _: copy)
    seed = str(History.load(kept).seed)
    assert cli.main(["accuracy", "--norms", "batch", "--seeds", seed]) == 2
    assert f"{kept.name} was trained with a course network" in capsys.readouterr().err


def test_train_replaces_its_run_of_a_network_that_has_changed(copy):
    path = age(copy / "course-batch-seed1.json")
    runs.perform_to(RUN, path)
    assert runs.parameters_of(RUN, load_images("shapes")) == History.load(path).parameters


def few():
    """Two steps an epoch."""
    data = load_images("shapes")
    return replace(data, train=data.train.draw(64), test=data.test.draw(20))


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A checkpoint of ``few``."""
    data = few()
    path = tmp_path_factory.mktemp("cut") / ".course-batch-seed1.checkpoint"
    fit(model(data), data, RECIPE, network="course", norm="batch", checkpoint=path)
    return path


def model(data):
    return seeded_model("course", "batch", data, 1)


def test_a_checkpoint_of_other_images_is_not_gone_on_with(cut_off, no_training):
    data = relabelled(few())
    told = {"network": "course", "norm": "batch", "checkpoint": cut_off}
    with pytest.raises(ValueError, match=r"run on other images .*or delete the checkpoint"):
        fit(model(data), data, RECIPE, **told)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "text"])
def test_a_damaged_checkpoint_is_named_with_a_way_out(cut_off, tmp_path, no_training, damage):
    whole = bytearray(cut_off.read_bytes())
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    content = {"cut": whole[:900], "empty": b"", "flipped": flipped, "text": b"hello"}[damage]
    path = tmp_path / ".course-batch-seed1.checkpoint"
    path.write_bytes(content)
    data = few()
    with pytest.raises(ValueError, match=rf"{path} is damaged.*; delete it to start"):
        fit(model(data), data, RECIPE, network="course", norm="batch", checkpoint=path)


def test_an_interruption_is_one_sentence_and_the_run_goes_on(tmp_path, monkeypatch, capsys):
    data, step = few(), TrainingState.step
    recipe = replace(RECIPE, epochs=2)
    told = {"network": "course", "norm": "batch", "checkpoint": tmp_path / "x.checkpoint"}

    def stop(self, x, y):
        if self.done >= stop.after:
            raise KeyboardInterrupt
        return step(self, x, y)

    monkeypatch.setattr(TrainingState, "step", stop)
    for stop.after, words in ((1, "No epoch is kept"), (3, "Epoch 1 is kept: run it again")):
        with pytest.raises(Interrupted, match=words) as caught:
            fit(model(data), data, recipe, **told)
        assert caught.value._render_traceback_() == [str(caught.value)]
    monkeypatch.setattr(TrainingState, "step", step)
    assert fit(model(data), data, recipe, **told).finished
    assert "Goes on after epoch 1 of 2." in capsys.readouterr().err


# ---- weights ---------------------------------------------------------------------------------


def test_weights_say_their_classes_and_images(trained):
    _, about = experiments.load_weights(trained / "course-batch-seed1.safetensors")
    data = load_images("shapes")
    assert about["class_names"] == str(list(data.classes)).replace("'", '"')
    assert about["fingerprint"] == data.fingerprint


def shipped_medians():
    for norm in LESSONS:
        for network in ("course", *experiments.FIELD):
            name = network if isinstance(network, str) else network.network
            if experiments.is_shipped(name, norm):
                yield name, norm


@pytest.mark.parametrize(("network", "norm"), sorted(set(shipped_medians())))
def test_the_shipped_weights_have_a_checksum_and_the_classes_names(network, norm):
    path = experiments.weights_of(experiments.shipped_run(network, norm))
    with safe_open(path, framework="pt") as file:
        assert "checksum" in file.metadata()
    _, about = experiments.load_weights(path)
    assert (about["network"], about["norm"]) == (network, norm)
    assert '"airplane", "automobile", "bird"' in about["class_names"]


@pytest.mark.parametrize("where", [-5, 0.5, 0.9, "class_names", "seed", "checksum"])
def test_a_flipped_bit_in_weights_is_noticed(copy, where, capsys):
    path = copy / "course-batch-seed1.safetensors"
    content = bytearray(path.read_bytes())
    if isinstance(where, str):
        place = content.find(where.encode()) + 1
    else:
        place = int(len(content) * where) if 0 < where < 1 else where
    content[place] ^= 1
    path.write_bytes(content)
    assert cli.main(["evaluate", "--weights", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert any(words in error for words in ("is damaged", "does not say", "no safetensors"))


def test_weights_that_are_no_numbers_are_refused(trained, tmp_path, capsys):
    net, _ = experiments.load_weights(trained / "course-batch-seed1.safetensors")
    history = History.load(trained / "course-batch-seed1.json")
    with torch.no_grad():
        next(net.parameters())[0] = torch.nan
    path = weights.save_weights(net, tmp_path / "bad.safetensors", history, load_images("shapes"))
    assert cli.main(["evaluate", "--weights", str(path)]) == 2
    assert "no numbers" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--norm", "group"], ["--network", "plain-18k"]])
def test_what_contradicts_the_file_is_refused(trained, capsys, options):
    path = trained / "course-batch-seed1.safetensors"
    assert cli.main(["evaluate", "--weights", str(path), *options]) == 2
    assert "holds the network 'course' with 'batch' norm, not the" in capsys.readouterr().err


def test_weights_for_other_classes_are_not_tested(trained, monkeypatch, capsys):
    data = load_images("shapes")
    serve(monkeypatch, replace(data, classes=data.classes[::-1]))
    assert cli.main(["evaluate", "--weights", str(trained / "course-batch-seed1.safetensors")]) == 2
    assert "tells 10 classes apart (disc, ring," in capsys.readouterr().err
    serve(monkeypatch, replace(data, note="CIFAR-10 could not be had.", quick=False))
    assert cli.main(["evaluate"]) == 2
    assert "could not be had. The weights are not tested" in capsys.readouterr().err


def test_images_are_normalised_as_those_that_were_trained_on(trained, monkeypatch):
    path = trained / "course-batch-seed1.safetensors"
    data = load_images("shapes")
    serve(monkeypatch, replace(data, mean=(0.1,) * 3, std=(0.9,) * 3))  # of other training images
    _, tested, score = experiments.try_weights(path, "shapes")
    assert (tested.mean, tested.std) == (data.mean, data.std)
    assert score.loss == History.load(path.with_suffix(".json")).epochs[-1]["test_loss"]


def test_weights_that_do_not_say_how_to_normalise_are_tested_as_they_were(trained, monkeypatch):
    path = trained / "course-batch-seed1.safetensors"
    read = weights.load_weights

    def older(*arguments):
        net, about = read(*arguments)
        return net, {name: about[name] for name in about.keys() - {"mean", "std"}}

    monkeypatch.setattr(weights, "load_weights", older)
    serve(monkeypatch, replace(load_images("shapes"), mean=(0.1,) * 3))
    assert experiments.try_weights(path, "shapes").data.mean == (0.1,) * 3


def test_images_of_another_size_are_told_or_refused(trained, tmp_path, monkeypatch, capsys):
    path, data = trained / "course-batch-seed1.safetensors", few()
    one_size = seeded_model("plain-18k", "batch", data, 1)
    history = replace(History.load(path.with_suffix(".json")), network="plain-18k")
    fixed = weights.save_weights(one_size, tmp_path / "fixed.safetensors", history, data)
    assert cli.main(["evaluate", "--data", "shapes", "--weights", str(path)]) == 0
    assert capsys.readouterr().err == ""
    serve(monkeypatch, replace(data, test=replace(data.test, images=data.test.images[..., 4:, 4:])))
    assert cli.main(["evaluate", "--data", "shapes", "--weights", str(path)]) == 0
    assert "trained on images 32 pixels wide, and these are 28 wide" in capsys.readouterr().err
    assert cli.main(["evaluate", "--data", "shapes", "--weights", str(fixed)]) == 2
    error = capsys.readouterr().err
    assert "built for images of 32×32 pixels" in error
    assert "may suffer" not in error


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_learner_s_own_weights_load_once_they_are_named(trained, tmp_path, capsys, prefix):
    tensors = load_file(trained / "course-batch-seed1.safetensors")
    path = tmp_path / "mine.safetensors"
    save_file({f"{prefix}{name}": value for name, value in tensors.items()}, path)
    evaluate = ["evaluate", "--data", "shapes", "--weights", str(path)]
    assert cli.main(evaluate) == 2
    assert "does not say what it holds; name it: --network" in capsys.readouterr().err
    assert cli.main([*evaluate, "--network", "course", "--norm", "batch"]) == 0
    printed = capsys.readouterr().out
    history = History.load(trained / "course-batch-seed1.json")
    assert f"test accuracy  {history.test_accuracy:.2f} %" in printed
    assert cli.main([*evaluate, "--network", "course", "--norm", "layer"]) == 2
    error = capsys.readouterr().err
    assert "do not fit" in error
    assert len(error.splitlines()) <= 2


# ---- what a run ends with --------------------------------------------------------------------


@pytest.mark.parametrize("command", ["train", "compare"])
def test_what_diverged_ends_with_1_and_announces_no_weights(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.experiments.course.RUNS", tmp_path)
    wild = ["--norms", "none", "--jobs", "1"] if command == "compare" else ["--norm", "none"]
    assert cli.main([command, *wild, "--data", "shapes", "--learning-rate", "1e20"]) == 1
    printed = capsys.readouterr().out
    assert "learning rate" in printed
    assert "eights" not in printed


# ---- files of somebody else ------------------------------------------------------------------


def thesis(folder: Path) -> Path:
    path = folder / "thesis.json"
    path.write_text("{}")
    return path


def link(folder: Path) -> Path:
    (folder / "link.json").symlink_to(thesis(folder))
    return folder / "link.json"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.json")
    return folder / "pipe.json"


def other_weights(folder: Path) -> Path:
    (folder / "run.safetensors").write_bytes(b"somebody else's")
    return folder / "run.json"


@pytest.mark.parametrize(
    "place",
    [
        *(thesis, link, pipe, other_weights),
        lambda folder: folder,
        lambda folder: thesis(folder) / "run.json",
        lambda _: Path(os.devnull),
        lambda folder: folder / "run.safetensors",
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="pipes and links")
def test_train_replaces_nothing_of_somebody_else_s(tmp_path, monkeypatch, capsys, place):
    monkeypatch.setattr(runs, "fit", None)  # training would now fail
    out = place(tmp_path)
    before = {path: path.lstat() for path in tmp_path.rglob("*")}
    assert cli.main(["train", "--data", "shapes", "--out", str(out)]) == 2
    assert str(tmp_path) in (error := capsys.readouterr().err) or os.devnull in error
    after = {path: path.lstat() for path in tmp_path.rglob("*")}
    assert [(p, s.st_ino, s.st_size) for p, s in before.items()] == [
        (p, s.st_ino, s.st_size) for p, s in after.items()
    ]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["accuracy", "--race"], "race.csv"),
        (["benchmark"], "benchmark.json"),
        (["benchmark"], "benchmark.txt"),
    ],
)
def test_a_table_of_somebody_else_s_is_not_replaced(tmp_path, monkeypatch, capsys, command, name):
    monkeypatch.setattr(runs, "fit", None)  # training would now fail
    monkeypatch.setattr("common.experiments.benchmark.run", None)
    (tmp_path / name).write_text("somebody's")
    assert cli.main([*command, "--quick", "--out", str(tmp_path)]) == 2
    assert f"{name} is there already" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "somebody's"


@pytest.mark.parametrize(
    ("command", "name"), [(["compare"], "curves.png"), (["study", "size"], "size-1.png")]
)
def test_a_picture_of_somebody_else_s_is_not_replaced(tmp_path, monkeypatch, capsys, command, name):
    monkeypatch.setattr(runs, "fit", None)  # training would now fail
    (tmp_path / name).write_text("somebody's")
    (tmp_path / "settings.json").write_text("{}")  # no history
    (tmp_path / "folder.json").mkdir()
    assert cli.main([*command, "--quick", "--out", str(tmp_path)]) == 2
    assert f"holds {name} and none of the results" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "somebody's"


def test_a_picture_beside_a_history_is_replaced(copy):
    (copy / "curves.png").touch()
    (copy / "settings.json").write_text("{}")
    files.check_pictures(copy, "curves.png", "*.json", History.load)


def test_train_keeps_history_and_weights_where_it_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.experiments.course.RUNS", None)  # nothing goes there
    out = tmp_path / "new" / "mine.json"
    command = ["train", "--data", "shapes", "--epochs", "1", "--out", str(out), "--learning-rate"]
    assert cli.main([*command, "0.01"]) == 0
    assert f"Weights: {out.with_suffix('.safetensors')}" in capsys.readouterr().out
    _, about = experiments.load_weights(out.with_suffix(".safetensors"))
    assert (about["norm"], History.load(out).recipe.learning_rate) == ("batch", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "fit", None)  # training would now fail
        assert cli.main([*command, "0.01"]) == 0
    assert "replaced" not in capsys.readouterr().err
    assert cli.main([*command, "0.02"]) == 0  # an earlier run may be replaced
    assert "held a run (course batch, seed 1, shapes" in capsys.readouterr().err
    assert History.load(out).recipe.learning_rate == 0.02
    assert sorted(path.name for path in out.parent.iterdir()) == ["mine.json", "mine.safetensors"]


@pytest.mark.parametrize("option", [["--norm", "group"], ["--learning-rate", "0.01"]])
def test_weights_of_a_killed_run_are_not_taken_for_those_of_the_one_before(
    tmp_path, monkeypatch, option
):
    out = tmp_path / "mine.json"
    command = ["train", "--data", "shapes", "--epochs", "1", "--out", str(out)]
    assert cli.main(command) == 0
    before = out.read_text(), out.with_suffix(".safetensors").read_bytes()

    def killed(*_):
        raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr(History, "save", killed)
        with pytest.raises(SystemExit):
            cli.main([*command, *option])
    assert out.read_text() == before[0]
    assert out.with_suffix(".safetensors").read_bytes() != before[1]
    assert cli.main(command) == 2  # the other run, which is all but done, can still be gone on with
    (tmp_path / ".mine.checkpoint").unlink()
    assert cli.main(command) == 0
    kept = experiments.load_weights(out.with_suffix(".safetensors"))[1]
    history = History.load(out)
    assert (kept["norm"], kept["test_loss"]) == ("batch", str(history.epochs[-1]["test_loss"]))


def test_a_run_beside_weights_of_another_lacks_its_own(copy):
    path = copy / "course-batch-seed1.safetensors"
    assert runs.is_done(RUN, copy, weights=True)
    history = replace(History.load(copy / f"{RUN.name}.json"), norm="group")
    weights.save_weights(seeded_model("course", "group", data := few(), 1), path, history, data)
    assert not runs.is_done(RUN, copy, weights=True)
    path.write_bytes(b"no weights at all")
    assert not runs.is_done(RUN, copy, weights=True)
    assert runs.is_done(RUN, copy, weights=False)


@pytest.mark.parametrize(
    ("command", "option"),
    [("benchmark", "--out"), ("compare", "--out"), ("search", "--log"), ("search", "--out")],
)
def test_every_command_finds_out_first_that_it_cannot_write(
    tmp_path, monkeypatch, capsys, command, option
):
    monkeypatch.setattr(runs, "fit", None)  # training would now fail
    monkeypatch.setattr("common.experiments.benchmark.run", None)
    more = ["--candidates", "course"] if command == "search" else []
    out = ["--out", str(tmp_path / "runs")] if option != "--out" else []
    assert cli.main([command, "--quick", *more, *out, option, str(thesis(tmp_path))]) == 2
    assert str(tmp_path / "thesis.json") in capsys.readouterr().err
    assert thesis(tmp_path).read_text() == "{}"


# ---- killed, or begun twice ------------------------------------------------------------------


def test_what_a_killed_process_left_is_removed(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for number in (gone.pid, os.getpid() if os.name == "nt" else os.getppid()):
        (tmp_path / f".x[1].json.{number}").touch()
    (tmp_path / ".x[1].json.lock").touch()
    files.write_atomically(tmp_path / "x[1].json", "{}")
    left = {path.name.rpartition(".")[2] for path in tmp_path.iterdir()}
    assert str(gone.pid) not in left
    assert len(left) == 3  # the file, the lock, and what a living process is at


PARENT = """
import os, subprocess, sys
child = "import sys, time; from common.experiments.workers import end_with; " \\
        "end_with(int(sys.argv[1])); print('on', flush=True); time.sleep(60)"
worker = subprocess.Popen([sys.executable, "-c", child, str(os.getpid())], stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, flush=True)
worker.wait()
"""


def test_workers_end_with_their_parent():
    import psutil

    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE)
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([worker], timeout=30)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_a_worker_whose_parent_is_gone_before_it_begins_ends(monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ended = threading.Event()
    begun_by = SimpleNamespace(pid=gone.pid)
    monkeypatch.setattr("multiprocessing.parent_process", lambda: begun_by)
    monkeypatch.setattr(os, "_exit", lambda _: ended.set())
    end_with(gone.pid)
    assert ended.wait(30)


def test_the_board_of_a_killed_command_is_removed(trained, capsys):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (left := trained / f".{runs.BOARD}.{gone.pid}").touch()
    run_all([RUN], trained, jobs=1, weights=True)
    assert not left.exists()


def test_a_run_that_another_process_is_at_is_waited_for(trained, tmp_path, monkeypatch, capsys):
    path = tmp_path / "course-batch-seed1.json"
    held = threading.Event()

    def other():
        with files.locked(tmp_path / f".{path.name}.lock", "is at it"):
            held.set()
            time.sleep(2)
            path.write_bytes((trained / path.name).read_bytes())

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    monkeypatch.setattr(runs, "fit", None)  # training would now fail
    (history,) = run_all([RUN], tmp_path, jobs=1)
    thread.join()
    assert history.finished
    said = capsys.readouterr().err
    assert "Waiting for another process that is training course-batch-seed1 (" in said
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "problem",
    [OSError(errno.ENOLCK, "No locks"), OSError(errno.EOPNOTSUPP, ""), NotImplementedError],
)
def test_a_disk_without_locks_stops_nothing(copy, tmp_path, monkeypatch, problem):
    def refuse(*_, **__):
        raise problem

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.warns(UserWarning, match=f"{tmp_path} is on a disk without locks"):
        (history,) = run_all([replace(RUN, recipe=replace(RECIPE, seed=2))], copy, jobs=1)
    assert history.finished
    line = Line(label(TOY.conditions[0]), 1, {"test": 1.0}, 1.0)
    with pytest.warns(UserWarning, match="without locks"):
        keep(TOY, tmp_path / "toy.jsonl", line, Images("images"), "1")
    assert load(TOY, tmp_path / "toy.jsonl").lines == [line]


def test_a_lock_that_may_not_be_written_is_said(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(PermissionError), files.locked(tmp_path / "lock", "is at it"):
        pytest.fail("it was let in")


# ---- poor sentences --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "--norms", "group", "group"], "course-group-race-seed1 is asked for twice"),
        (["train", "--seed", str(2**70)], "seed is"),
        (["train", "--seed", "-1"], "from 0 to below"),
        (["train", "--learning-rate", "inf"], "above 0 and finite"),
        (["train", "--learning-rate", "nan"], "above 0 and finite"),
        (["summary", "--size", "20000"], "at most 1024"),
        (["train", "--data", "~nosuchuser/x"], "no such user"),
        (["compare", "--jobs", "0"], "jobs is 0"),
        (["search", "--candidates", "course", "--jobs", "-1"], "jobs is -1"),
    ],
)
def test_odd_input_ends_with_one_clear_line(arguments, words, capsys):
    assert cli.main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_container_s_share_of_the_processor_is_respected(monkeypatch):
    for share in (1, 10**6):
        monkeypatch.setattr("joblib.cpu_count", lambda share=share: share)
        monkeypatch.setattr("psutil.cpu_count", lambda logical: 4)
        monkeypatch.setenv("NORMS_THREADS", "8")
        assert settings.threads() == min(share, 4)


@pytest.mark.parametrize("value", ["²", "0", "-1", "two"])
def test_threads_that_are_no_number_are_refused(monkeypatch, capsys, value):
    monkeypatch.setenv("NORMS_THREADS", value)
    assert cli.main(["evaluate"]) == 2
    assert "NORMS_THREADS is" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"recipe": null}',
        "EPOCHS null",
        'EPOCHS [{"epoch": 1}]',
        "EPOCHS 3",
    ],
)
def test_a_file_that_is_no_history_is_named(copy, text):
    path = copy / "course-batch-seed1.json"
    if text.startswith("EPOCHS"):
        import json

        values = json.loads(path.read_text(encoding="utf-8"))
        text = json.dumps(values | {"epochs": json.loads(text.removeprefix("EPOCHS"))})
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"{path} holds no history"):
        run_all([RUN], copy, jobs=1)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=rf"{path} holds no history"):
        shipped.load_histories(copy)


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (torch.nn.Softmax(1), "probabilities"),
        (torch.nn.Linear(10, 4), r"gives \(32, 4\); it must be \(32, 10\)"),
        (torch.nn.Unflatten(1, (10, 1)), r"gives \(32, 10, 1\)"),
    ],
)
def test_a_network_with_other_outputs_is_told_so(tail, words, no_training):
    data = load_images("shapes")
    with pytest.raises(ValueError, match=words):
        fit(torch.nn.Sequential(model(data), tail), data, RECIPE)


def test_pictures_of_a_folder_are_told_apart_by_their_pixels(tmp_path, monkeypatch, capsys):
    for split in ("train", "test"):
        for kind in "ab":
            for number in range(20):
                picture(tmp_path / "pets" / split / kind / f"{number}.png")
    monkeypatch.setattr("common.experiments.course.RUNS", tmp_path / "runs")
    command = ["train", "--quick", "--data", str(tmp_path / "pets"), "--epochs", "1"]
    assert cli.main(command) == 0
    assert cli.main(["train", "--quick", "--data", "shapes", "--epochs", "1"]) == 0
    assert len(list((tmp_path / "runs" / "train").iterdir())) == 2
    picture(tmp_path / "pets" / "train" / "a" / "0.png", colour=(200, 0, 0))
    capsys.readouterr()
    assert cli.main(command) == 2
    assert "pixels, labels or class names differ" in capsys.readouterr().err
