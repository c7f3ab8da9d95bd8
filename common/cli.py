"""The command line, ``python -m common COMMAND``; each command has a ``--help``."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.training import History

NORMS = ("batch", "group", "layer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 for input that could not be used.

    It is 1 where every run diverged, and with ``tables --check`` or ``notebooks --check`` where one
    is out of date.
    """
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    options.given = list(given)
    for stream in (sys.stdout, sys.stderr):
        # Pipes and some consoles on Windows have no ±, − or x̂, and would fail at the first one.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    if getattr(options, "quick", False):
        os.environ["NORMS_QUICK"] = "1"
    try:
        return options.run(options) or 0
    except (ValueError, OSError) as error:
        print(f"python -m common {options.command}: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print(f"python -m common {options.command}: the memory is full.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        training = options.command in ("compare", "train", "accuracy", "search", "field")
        hint = " The same command goes on from the last whole epoch." if training else ""
        if options.command == "study":
            hint = " The same command runs what is missing."
        print(f"\nStopped.{hint}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m common",
        description="Train, compare and look into small CNNs that differ only in their norm.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace], int | None], text: str, *groups: str
    ) -> None:
        # Only in a help argparse puts values in for what a % begins.
        command = commands.add_parser(name, help=text.replace("%", "%%"), description=text)
        command.set_defaults(run=run)
        for group in groups:
            _OPTIONS[group](command)

    add(
        "compare",
        compare,
        "Train one network with each norm to 70 % and compare them (the main job); with --full or "
        "--epochs, as far as the course's recipe gets.",
        "norms",
        "network",
        "data",
        "training",
        "full",
        "seeds",
        "jobs",
        "together",
    )
    add("train", train, "Train one network.", "norm", "network", "data", "training", "seed", "out")
    add(
        "accuracy",
        accuracy,
        "Train the course network with each norm and several seeds into the lessons' results.",
        "norms",
        "data",
        "seeds",
        "jobs",
        "together",
        "tuned",
        "race",
    )
    add(
        "benchmark",
        benchmark,
        "Time the training loop beside a DataLoader, and measure the memory it takes.",
        "norms",
        "network",
        "data",
        "benchmark",
    )
    add(
        "evaluate",
        evaluate,
        "Evaluate shipped (or your own) weights on the test images.",
        "norm",
        "network",
        "data",
        "weights",
    )
    add(
        "search",
        search,
        "Try candidate networks, norms and learning rates on held-out training images.",
        "norms",
        "data",
        "seed",
        "jobs",
        "search",
    )
    add(
        "field",
        field,
        "Train public networks with their sources' recipes and the course's into the results.",
        "norms",
        "field",
        "data",
        "jobs",
        "together",
    )
    add(
        "study",
        study,
        "Put what is said about the norms to the test: list, run and show the studies.",
        "study",
        "data",
        "jobs",
    )
    add("mutants", mutants, "Show which wrong answer each exercise's check rejects, and its hint.")
    add("tables", tables, "Bring the tables of all pages up to date.", "check")
    add(
        "notebooks",
        notebooks,
        "Bring the notebooks into the form in which Jupyter writes them, with slides marked.",
        "check",
    )
    add("figures", figures, "Draw the figures of all pages.", "images", "figures")
    add("summary", summary, "Print torchsummary's table of a network.", "norm", "network", "size")
    return parser


def _norms(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--norms", nargs="+", default=list(NORMS), help="batch, group, layer, none"
    )


def _norm(command: argparse.ArgumentParser) -> None:
    command.add_argument("--norm", default="batch", help="batch (default), group, layer or none")


def _network(command: argparse.ArgumentParser) -> None:
    command.add_argument("--network", default="course", help="a network's name (default: course)")


def _data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        default="cifar10",
        help="cifar10 (default), shapes, or a folder with train/<class>/ and test/<class>/",
    )
    command.add_argument("--device", help="cpu, cuda or mps (default: the fastest one present)")
    command.add_argument(
        "--quick", action="store_true", help="a trial: a few hundred images (of a folder: its own)"
    )


def _training(command: argparse.ArgumentParser) -> None:
    command.add_argument("--epochs", type=int, help="default: the recipe's")
    command.add_argument("--batch-size", type=int, help="default: the recipe's")
    command.add_argument("--learning-rate", type=float, help="default: the recipe's")


def _seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, default=1, help="default: 1")


def _seeds(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seeds", type=int, nargs="+", default=[1], help="default: 1")


def _jobs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--jobs", type=int, help="runs at a time (default: one a core)")
    command.add_argument("--out", type=_path, help="folder of the results (default: in runs/)")


def _together(command: argparse.ArgumentParser) -> None:
    text = "for a GPU: runs trained as one if they differ in their seed alone (default: 1)"
    command.add_argument("--together", type=int, default=1, help=text)


def _tuned(command: argparse.ArgumentParser) -> None:
    text = "each norm at its own best learning rate (default: the rate all norms share)"
    command.add_argument("--tuned", action="store_true", help=text)


def _full(command: argparse.ArgumentParser) -> None:
    text = "the course's recipe, 20 epochs (default: the race to 70 %%, a few short ones)"
    command.add_argument("--full", action="store_true", help=text)


def _race(command: argparse.ArgumentParser) -> None:
    text = "the race to 70 %% instead, into common/results/race.csv"
    command.add_argument("--race", action="store_true", help=text)


def _out(command: argparse.ArgumentParser) -> None:
    text = "the history's JSON file, its weights beside it (default: in runs/)"
    command.add_argument("--out", type=_path, help=text)


def _benchmark(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--batches", type=int, help="timed for each way in each round (default: 8; quick: 3)")
    add("--rounds", type=int, help="in which all ways take turns (default: 3; quick: 1)")
    add(
        "--targets",
        action="store_true",
        help="only how soon 70 and 78.35 %% are reached, beside the field's best network",
    )
    add("--profile", action="store_true", help="also list the operators a step spends its time in")
    add(
        "--accelerated",
        action="store_true",
        help="also recorded (on CUDA), compiled, in bfloat16, several seeds as one",
    )
    add("--steps-only", action="store_true", help="no memory and no runs side by side")
    add("--out", type=_path, help="folder of the results (default: in runs/)")


def _weights(command: argparse.ArgumentParser) -> None:
    command.add_argument("--weights", type=_path, help="a .safetensors file (default: shipped)")
    command.set_defaults(network=None, norm=None)  # what the file says, unless it is asked for


def _size(command: argparse.ArgumentParser) -> None:
    command.add_argument("--size", type=int, default=32, help="image size in pixels (default: 32)")


def _search(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--candidates",
        nargs="+",
        help="names from common/networks/candidates.py, course among them",
    )
    add("--learning-rates", type=float, nargs="+", default=[], help="default: the recipe's")
    add("--optimiser", default="muon", help="muon (default) or sgd")
    add("--epochs", type=int, default=6, help="default: 6")
    add("--train-images", type=int, help="default: all that are not held out")
    text = "other fields of the recipe, such as alternating=True sizes=24x8"
    add("--change", nargs="+", default=[], metavar="NAME=VALUE", help=text)
    add(
        "--log", type=_path, help="a CSV file (default: the course's; of other data: in the folder)"
    )
    command.set_defaults(norms=["batch"])  # three times as many runs only where they are asked for


def _field(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--recipes", nargs="+", default=["source", "course"], help="source, course (default: both)")
    add("--networks", nargs="+", help="default: all of the field")
    add("--seeds", type=int, nargs="+", help="default: 1; with the course's recipe 1 2 3")
    add("--jpeg", type=int, help="store the images as JPEG of this quality first, 1 to 95")


def _study(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("studies", nargs="*", metavar="NAME", help="studies to run; see --list")
    add("--all", action="store_true", help="every study")
    instead = command.add_mutually_exclusive_group().add_argument
    text = "name the studies with their cost, and run nothing"
    instead("--list", action="store_true", help=text)
    instead("--show", action="store_true", help="table and figures of the runs that are there")
    text = "do one run again and say whether its numbers are the same; names as --show prints them"
    instead("--again", nargs=2, metavar=("CONDITION", "SEED"), help=text)
    add("--seeds", type=int, nargs="+", default=[], help="default: those the study declares")
    add("--dask", metavar="ADDRESS", help="a Dask scheduler whose workers take the runs")


def _check(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 if one is out of date"
    )


def _images(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data", default="cifar10", help="the images the kept weights were trained on"
    )


def _figures(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=_path, help="folder to draw into (default: the course)")


def _path(text: str) -> Path:
    """A path from the command line, in full: what a message says of it holds from anywhere."""
    from common.settings import with_home

    try:
        return with_home(text).absolute()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


_OPTIONS = {
    "norms": _norms,
    "norm": _norm,
    "network": _network,
    "data": _data,
    "training": _training,
    "seed": _seed,
    "seeds": _seeds,
    "jobs": _jobs,
    "together": _together,
    "out": _out,
    "benchmark": _benchmark,
    "weights": _weights,
    "size": _size,
    "field": _field,
    "check": _check,
    "images": _images,
    "figures": _figures,
    "search": _search,
    "study": _study,
    "tuned": _tuned,
    "full": _full,
    "race": _race,
}


def _recipe_changes(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("epochs", "batch_size", "learning_rate")}


def _side_by_side(options: argparse.Namespace) -> dict[str, Any]:
    """How a study's runs share the machine, as ``run_all`` takes it."""
    return {name: getattr(options, name) for name in ("jobs", "together", "device")}


def _status(histories: Sequence[Any]) -> int:
    """The exit status after these runs: 1 if every one of them diverged."""
    return int(bool(histories) and all(history.failure for history in histories))


def compare(options: argparse.Namespace) -> int:
    """``compare``: one network, several norms and seeds; a table, JSON files and figures."""
    started = time.perf_counter()
    from common import experiments, reports
    from common.files import check_pictures
    from common.training import SHARED, History, format_time

    race = not options.full and options.epochs is None
    changes = _recipe_changes(options)
    folder = options.out or experiments.own_folder(options.command, options.data)
    for picture in ("comparison.png", "curves.png"):
        check_pictures(folder, picture, "*.json", History.load)
    histories = _compare(options, options.network, folder, race=race, **changes)
    print(reports.comparison_table(histories))
    print(f"\n{reports.conclusion(histories)}\n\nDrawing the figures …", flush=True)
    drawn = reports.draw_comparison(histories, folder)
    print("\n".join(f"Figure: {path}" for path in drawn))
    kept = "Histories and weights" if drawn else "Histories"
    print(f"{kept}: {folder}\n{format_time(time.perf_counter() - started)} in all.")
    if race:
        command = " ".join(["python -m common", *options.given, "--full"])
        print(f"\nThe full runs, {SHARED.epochs} epochs each: {command}")
    return _status(histories)


def _compare(
    options: argparse.Namespace,
    network: str,
    folder: Path,
    *,
    race: bool,
    shipped: bool = False,
    **changes: float | None,
) -> list[History]:
    """The runs of a comparison, kept in ``folder``.

    In the race there is one run more at a time than cores, unless ``--jobs`` says otherwise: three
    runs on two cores, one on each, would leave a core idle for a third of the time.
    """
    from common import experiments

    runs = experiments.comparison_runs(
        network, options.norms, options.seeds, options.data, race=race, **changes
    )
    side_by_side = _side_by_side(options)
    if race:
        jobs = experiments.race_jobs(options.device) if options.jobs is None else options.jobs
        side_by_side["jobs"] = jobs
    return experiments.run_all(runs, folder, weights=not shipped, shipped=shipped, **side_by_side)


def train(options: argparse.Namespace) -> int:
    """``train``: one run; its history as JSON and its weights beside it."""
    from common import experiments, reports

    (run,) = experiments.comparison_runs(
        options.network, [options.norm], [options.seed], options.data, **_recipe_changes(options)
    )
    if path := options.out:
        history = experiments.perform_to(run, path, device=options.device)
    else:
        folder = experiments.own_folder(options.command, options.data)
        path = folder / f"{run.name}.json"
        (history,) = experiments.run_all([run], folder, jobs=1, device=options.device, weights=True)
    print(reports.comparison_table([history]))
    print(f"\nHistory: {path}")
    if not history.failure:
        print(f"Weights: {path.with_suffix('.safetensors')}")
    return _status([history])


def accuracy(options: argparse.Namespace) -> int:
    """``accuracy``: the runs that the lessons show, kept with them, one with weights."""
    from common import experiments, reports

    if options.race:
        return _race_results(options)
    runs = experiments.accuracy_runs(
        options.norms, options.seeds, options.data, tuned=options.tuned
    )
    histories = experiments.run_for_lessons(runs, options.out, **_side_by_side(options))
    print(reports.comparison_table(histories))
    return _status(histories)


def _race_results(options: argparse.Namespace) -> int:
    from common import experiments, reports

    shipped = options.out is None
    if shipped:
        experiments.check_shippable(options.data)
    # A folder of its own: the reader's races may have been run on a busy machine, or a stand-in.
    folder = options.out or experiments.own_folder("race", options.data)
    path = experiments.RACE_FILE if shipped else folder / experiments.RACE_FILE.name
    experiments.check_race_file(path)
    histories = _compare(options, "course", folder, race=True, shipped=shipped)
    print(reports.comparison_table(histories))
    print(f"\n{reports.conclusion(histories)}\n\n{experiments.save_race(histories, path)}")
    return _status(histories)


def benchmark(options: argparse.Namespace) -> None:
    """``benchmark``: speed and memory of training with each norm; a table and a JSON file."""
    from common import experiments, reports
    from common.experiments import benchmark as bench
    from common.experiments import targets

    plan = bench.plan(
        network=options.network,
        data=options.data,
        device=options.device,
        batches=options.batches,
        rounds=options.rounds,
        accelerated=options.accelerated,
    )
    folder = options.out or experiments.own_folder(options.command, options.data)
    reports.check_benchmark_folder(folder, "targets" if options.targets else "benchmark")
    if options.targets:
        results = targets.run(options.norms, plan)
        print(reports.targets_report(results))
    else:
        parts = {"processes": not options.steps_only, "profiles": options.profile}
        results = bench.run(options.norms, plan, **parts)
        print(reports.report(results))
    path = reports.save_benchmark(results, folder)
    print(f"\nAll rounds: {path}")


def evaluate(options: argparse.Namespace) -> None:
    """``evaluate``: the shipped weights, or a file's, on the test images."""
    from common import experiments

    network, norm = options.network, options.norm
    if not (path := options.weights):
        network = "course" if network is None else network
        norm = "batch" if norm is None else norm
        path = experiments.weights_of(experiments.shipped_run(network, norm))
    about, data, score = experiments.try_weights(
        path, options.data, options.device, network=network, norm=norm
    )
    seed = about["seed"] or "unknown"
    print(f"network        {about['network']} with {about['norm']} norm, seed {seed}")
    print(f"trained on     {about['dataset'] or 'unknown images'}")
    print(f"evaluated on   {data.title}, {len(data.test):,} test images")
    print(f"test accuracy  {score.accuracy:.2f} %")
    print(f"test loss      {score.loss:.4f}")


def search(options: argparse.Namespace) -> int:
    """``search``: short runs of candidate networks; a table and rows in the log."""
    from common import experiments
    from common.experiments import search as study

    runs = study.plan(
        options.candidates or study.CANDIDATES,
        options.norms,
        options.learning_rates,
        optimiser=options.optimiser,
        epochs=options.epochs,
        train_images=options.train_images,
        seed=options.seed,
        data=options.data,
        changes=study.parse_changes(options.change),
    )
    folder = options.out or experiments.own_folder(options.command, options.data)
    log = options.log or study.default_log(options.data, folder)
    rows = study.perform_and_log(runs, folder, log, jobs=options.jobs, device=options.device)
    print(study.table(rows))
    print(f"\nHistories: {folder}\nLog: {log}")
    return int(all(row.epochs_done < row.epochs for row in rows))


def field(options: argparse.Namespace) -> int:
    """``field``: the networks of the field; histories in the lessons' results, and a table."""
    from common import experiments, reports

    runs = experiments.field_runs(
        options.recipes,
        options.networks,
        options.norms,
        options.seeds,
        data=options.data,
        jpeg=options.jpeg,
    )
    histories = experiments.run_for_lessons(runs, options.out, **_side_by_side(options))
    print(reports.field_report(runs, histories))
    if options.jpeg is not None:
        from common.data import describe, load_images

        print(f"\n{describe(load_images(options.data), options.jpeg)}")
    return _status(histories)


def tables(options: argparse.Namespace) -> int:
    """``tables``: every table in the pages, written or checked."""
    from common import reports

    results = reports.load_results()
    if results.left_out:
        print(f"Left out, for git does not know them yet: {len(results.left_out)} runs.")
    stale = reports.update(results, check=options.check)
    return _brought_up_to_date(stale, options.check, "pages", "tables")


def notebooks(options: argparse.Namespace) -> int:
    """``notebooks``: each one in the form that Jupyter gives it, written or checked."""
    from common import reports
    from common.settings import ROOT

    stale = reports.bring_into_form(check=options.check)
    names = [path.relative_to(ROOT).as_posix() for path in stale]
    return _brought_up_to_date(names, options.check, "notebooks", "notebooks")


def _brought_up_to_date(stale: Sequence[str], check: bool, what: str, command: str) -> int:
    """Say which files were written, or would have to be; the exit status."""
    if not stale:
        print(f"All {what} are up to date.")
    elif check:
        print(f"Out of date: {', '.join(stale)}. Run: python -m common {command}", file=sys.stderr)
    else:
        print(f"Written: {', '.join(stale)}")
    return 1 if stale and check else 0


def figures(options: argparse.Namespace) -> None:
    """``figures``: curves, comparisons and mistakes, from the kept results and weights."""
    from common import reports
    from common.settings import ROOT

    for path in reports.draw(images=options.data, out=options.out):
        print(path if options.out else path.relative_to(ROOT))


def study(options: argparse.Namespace) -> int:
    """``study``: the claims laboratory; results in ``common/results/studies``, or in ``runs/``.

    With ``--again`` ends with 1 where a run done again gives other numbers.
    """
    from common import reports, settings
    from common.experiments import laboratory
    from common.files import check_pictures

    wanted = options.studies or options.all
    if (options.again or options.show) and not wanted:
        raise ValueError("--show and --again take the name of a study; see --list.")
    if (options.again or options.show) and options.dask:
        raise ValueError("--dask sends runs to a cluster; --show makes none, --again one, here.")
    if options.list or not wanted:
        print(reports.study_list(laboratory.find_studies(options.studies)))
        return 0
    settings.pick_device(options.device)  # named wrongly it is refused, even where nothing is run
    studies = laboratory.find_studies([] if options.all else options.studies)
    if options.all and (out := [s for s in studies if not laboratory.can_run_on(s, options.data)]):
        names = ", ".join(one.name for one in out)
        print(f"Left out, for they are about what came of CIFAR-10: {names}.", file=sys.stderr)
        studies = [one for one in studies if one not in out]
    folder = laboratory.folder_of(options.data, options.out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is no folder; --out names the one that holds the results.")
    if options.again:
        return _again(options, studies, folder)
    for one in studies:
        for pictures in (f"{one.name}.png", f"{one.name}-[0-9].png"):
            check_pictures(folder, pictures, f"{one.name}.jsonl")
    if options.show:
        results = [laboratory.kept(one, folder) for one in studies]
    else:
        results = laboratory.run_studies(
            studies,
            folder,
            data=options.data,
            seeds=options.seeds,
            jobs=options.jobs,
            device=options.device,
            dask=options.dask,
            say=partial(print, flush=True),
        )
    for result in results:
        print(f"\n{reports.study_report(result)}")
        for path in reports.draw_study(result, folder):
            print(f"Figure: {path}")
    return 0


def _again(options: argparse.Namespace, studies: Sequence[Any], folder: Path) -> int:
    from common.experiments import laboratory

    condition, seed = options.again
    if len(studies) != 1 or not (seed.isascii() and seed.isdigit()):
        raise ValueError("--again takes one study, a condition and a seed, as --show prints them.")
    where = {"data": options.data, "device": options.device}
    old, new = laboratory.again(studies[0], folder, condition, int(seed), **where)
    other = {k: (v, new.values.get(k)) for k, v in old.values.items() if new.values.get(k) != v}
    if not other:
        print(f"{studies[0].name} {condition}, seed {seed}: the same {len(old.values)} values.")
        return 0
    print(f"{studies[0].name} {condition}, seed {seed}: other values (there, here): {other}")
    return 1 if studies[0].repeatable else 0


def mutants(options: argparse.Namespace) -> None:
    """``mutants``: wrong answer × check → hint, a row each."""
    from common.exercises import mutant_table
    from common.tests.exercises.mutants import MUTANTS

    print(mutant_table(MUTANTS))


def summary(options: argparse.Namespace) -> None:
    """``summary``: torchsummary's table."""
    from common import networks

    model = networks.build(options.network, options.norm, image_size=options.size)
    print(networks.summary(model, (3, options.size, options.size)))
