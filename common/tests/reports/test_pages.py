"""The pages' tables: made from results alone, and up to date as committed."""

import random
import re
import subprocess
from dataclasses import replace

import pytest

from common import cli, reports
from common.experiments.field import FIELD, field_runs
from common.experiments.race import save_race
from common.experiments.runs import Run
from common.networks.registry import build, count_parameters
from common.reports import figures, pages
from common.reports.cells import NOTHING_YET
from common.reports.field_tables import both_ways
from common.reports.kept import Results, load_results
from common.reports.network_tables import lesson_networks
from common.reports.pages import fill, update
from common.reports.race_table import race_section
from common.reports.search_tables import learning_rate_grid
from common.settings import LESSONS, ROOT
from common.tests.checkout import git, missing, needs_git, refusal
from common.training.history import History, Score, epoch_row
from common.training.recipes import RACE, course_recipe
from common.visualisation.theme import LABELS

TOP, RESULTS, SPEED, NETWORKS = pages.TOP, pages.RESULTS, pages.SPEED, pages.NETWORKS
MARKS = {
    TOP: ["results", "court"],
    RESULTS: ["course", "race", "field", "search"],
    SPEED: ["benchmark", "targets", "benchmark-gpu"],
    NETWORKS: ["networks"],
    **{f"{lesson}/README.md": ["results"] for lesson in LESSONS.values()},
}
PAGES = list(MARKS)
DEVICE = "CPU (a processor)"


def history(run: Run, accuracy: float, dataset: str = "CIFAR-10 (JPEG copy)") -> History:
    rows = [
        {
            "epoch": epoch,
            "learning_rate": 0.1,
            "train_loss": 1 / epoch,
            "train_accuracy": accuracy - 3,
            "test_loss": 1 / epoch,
            "test_accuracy": accuracy - 10 / epoch + 10 / run.recipe.epochs,
            "seconds": 60.0,
        }
        for epoch in range(1, run.recipe.epochs + 1)
    ]
    return History(
        run.network,
        run.norm,
        count_parameters(build(run.network, run.norm)),
        run.recipe,
        dataset,
        device=DEVICE,
        epochs=rows,
        train_loss=0.5,
        train_accuracy=accuracy + 2,
        seconds=1200.0,
    )


def course(norm: str, seed: int) -> Run:
    return Run("course", norm, course_recipe(norm, seed))


def keep(root, run: Run, accuracy: float, **more) -> History:
    kept = history(run, accuracy, **more)
    kept.save(root / LESSONS[run.norm] / "results" / f"{run.name}.json")
    return kept


@pytest.fixture
def root(tmp_path):
    """A course without any results: pages that have every section, and nothing in them."""
    for page, names in MARKS.items():
        (tmp_path / page).parent.mkdir(exist_ok=True, parents=True)
        text = "".join(
            f"# {name}\n\n<!-- {name}:start -->\n<!-- {name}:end -->\n\n" for name in names
        )
        (tmp_path / page).write_text(text, encoding="utf-8")
    return tmp_path


def section(root, page: str, name: str) -> str:
    text = (root / page).read_text(encoding="utf-8")
    return text.split(f"<!-- {name}:start -->\n")[1].split(f"<!-- {name}:end -->")[0]


def cells(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_table_as_committed_is_the_one_its_results_give(tmp_path):
    # Of the index, not of the folder: who has trained a network here has broken nothing.
    listed = git("ls-files", "-z", *PAGES, "*/results/*")
    git("checkout-index", "-z", "--stdin", f"--prefix={tmp_path}/", sent=listed)
    assert update(load_results(tmp_path), check=True) == [], "run: python -m common tables"


@pytest.mark.parametrize("page", PAGES)
def test_every_table_has_its_place(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r"<!-- ([\w-]+):start -->", text) == MARKS[page]


def test_without_results_there_are_claims_and_dashes(root):
    assert update(load_results(root)) == PAGES
    assert section(root, TOP, "results").strip() == pages.NOTHING_YET
    assert section(root, RESULTS, "course").strip() == pages.NOTHING_YET
    row = cells(section(root, RESULTS, "field"), "`skip-48k` | BatchNorm")
    assert row[2:] == ["48,136", "20", "81.67 (80.50)", "–", "–", "–", "–"]
    assert update(load_results(root)) == []


def test_check_tells_what_is_out_of_date_and_writes_nothing(root):
    before = (root / "README.md").read_bytes()
    assert update(load_results(root), check=True) == PAGES
    assert (root / "README.md").read_bytes() == before
    update(load_results(root))
    page = root / NETWORKS
    page.write_text(page.read_text(encoding="utf-8").replace("18,064", "18,065"), encoding="utf-8")
    assert update(load_results(root), check=True) == [NETWORKS]


def test_the_command_ends_with_1_where_a_page_is_out_of_date(monkeypatch, capsys):
    if not missing() and refusal():  # the command, too, asks which results are committed
        pytest.skip(refusal())
    monkeypatch.setattr(reports, "update", lambda _, check: ["README.md"])
    assert cli.main(["tables", "--check"]) == 1
    assert "README.md" in capsys.readouterr().err
    assert cli.main(["tables"]) == 0
    monkeypatch.setattr(reports, "update", lambda _, check: [])
    assert cli.main(["tables", "--check"]) == 0


def test_the_course_s_table_says_mean_spread_interval_and_differences(root):
    for norm, values in {"batch": (87.0, 88.0, 89.0), "layer": (80.0, 81.0)}.items():
        for seed, value in enumerate(values, 1):
            keep(root, course(norm, seed), value)
    update(load_results(root))
    text = section(root, RESULTS, "course")
    row = cells(text, "BatchNorm |")
    count = count_parameters(build("course", "batch"))
    assert row[1:] == [
        f"{count:,}",
        "90.00 ± 1.00 (n = 3)",
        "**88.00** ± 1.00 (n = 3)",
        "85.52 to 90.48",  # 88 ± 4.303 · 1 / √3
        "20",
        "CIFAR-10 (JPEG copy)",
    ]
    assert f"BatchNorm seeds 1 to 3, LayerNorm seeds 1 and 2; {DEVICE}, 1 thread." in text
    difference = cells(text, "BatchNorm − LayerNorm")
    assert difference[1] == "+7.50"
    assert difference[4] == "3 and 2"
    assert "GroupNorm" not in text
    top = section(root, TOP, "results")
    assert cells(top, "BatchNorm |") == cells(text, "BatchNorm |")
    assert f"BatchNorm − LayerNorm +7.50 ({difference[2]})." in top


def test_runs_on_other_images_have_a_row_of_their_own(root):
    keep(root, course("batch", 1), 88.0)
    keep(root, course("batch", 2), 91.0, dataset="CIFAR-10")
    update(load_results(root))
    text = section(root, RESULTS, "course")
    rows = [line for line in text.splitlines() if line.startswith("| BatchNorm |")]
    assert len(rows) == 2
    assert "91.00** (n = 1)" in rows[0]
    assert rows[0].endswith("| CIFAR-10 |")
    assert "Welch" not in text


def test_a_diverged_run_is_counted_not_hidden(root):
    keep(root, course("batch", 1), 88.0)
    run = course("batch", 2)
    failed = replace(history(run, 10.0), epochs=[], train_accuracy=None, failure="The loss is nan.")
    failed.save(root / LESSONS["batch"] / "results" / f"{run.name}.json")
    update(load_results(root))
    assert "**88.00** (n = 1), 1 diverged" in section(root, TOP, "results")


def test_a_quick_run_among_the_results_is_refused(root):
    run = course("batch", 1)
    quick = replace(history(run, 88.0), quick=True)
    quick.save(root / "Batch-Norm" / "results" / f"{run.name}.json")
    with pytest.raises(ValueError, match="quick mode"):
        load_results(root)


@needs_git
def test_a_checkout_that_git_cannot_read_is_named_with_git_s_own_reason(root):
    (root / ".git").mkdir()
    with pytest.raises(ValueError, match=r"git cannot say .*not a git repository"):
        load_results(root)


@needs_git
def test_in_a_checkout_only_what_git_knows_counts(root):
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    keep(root, course("batch", 1), 88.0)
    subprocess.run(["git", "add", "Batch-Norm"], cwd=root, check=True)
    keep(root, course("batch", 2), 10.0)
    results = load_results(root)
    assert [run.seed for run in results.course[""]] == [1]
    assert [path.name for path in results.left_out] == ["course-batch-seed2.json"]


def test_the_field_s_table_sets_claim_and_both_recipes_side_by_side(root):
    accuracy = {"source": iter([79.0]), "course": iter([83.0, 84.0, 85.0])}
    for run in field_runs(networks=["skip-48k"], norms=["batch"]):
        keep(root, run, next(accuracy[run.label]))
    update(load_results(root))
    text = section(root, RESULTS, "field")
    row = cells(text, "`skip-48k` | BatchNorm")
    assert row[4:] == [
        "81.67 (80.50)",
        "79.00 (76.00)",
        "84.00 ± 1.00 (n = 3)",
        "+5.00",
        "CIFAR-10 (JPEG copy)",
    ]
    assert "2.67 points below" in text
    assert "1 of 1 networks are at or above" in text
    assert "Seed 1 with the sources' recipes, seeds 1 to 3 with the course's recipe" in text


def test_a_network_below_its_claim_or_within_the_spread_is_named(root):
    accuracy = {"source": iter([79.0]), "course": iter([78.0, 79.0, 80.5])}
    for run in field_runs(networks=["skip-48k"], norms=["batch"]):
        keep(root, run, next(accuracy[run.label]))
    update(load_results(root))
    text = section(root, RESULTS, "field")
    assert "below it: `skip-48k` BatchNorm (−2.50)" in text
    assert "not so: `skip-48k` BatchNorm (+0.17 ± 1.26)" in text


def test_runs_on_compressed_images_are_set_beside_those_on_the_same_images_as_they_are(root):
    same = "CIFAR-10 (JPEG copy)"
    accuracy = iter([80.0, 81.0, 79.0, 80.0])
    for jpeg, ending in ((None, ""), (75, ", stored as JPEG 75")):
        runs = field_runs(["course"], ["skip-48k"], ["batch"], [1, 2], jpeg=jpeg)
        for run in runs:
            keep(root, run, next(accuracy), dataset=f"{same}{ending}")
    update(load_results(root))
    text = section(root, RESULTS, "field")
    field, compression = text.split("What compression costs")
    assert cells(field, "`skip-48k` | BatchNorm")[6] == "80.50 ± 0.71 (n = 2)"
    row = cells(compression, "`skip-48k` | BatchNorm")
    assert row[2:8] == [
        "the course's",
        same,
        "80.50 ± 0.71 (n = 2)",
        "stored as JPEG 75",
        "79.50 ± 0.71 (n = 2)",
        "−1.00",
    ]
    assert row[8].startswith("−4.04 to +2.04")


def test_without_runs_on_the_images_as_they_are_compression_is_not_judged(root):
    for run in field_runs(["course"], ["skip-48k"], ["batch"], [1], jpeg=75):
        keep(root, run, 80.0, dataset="CIFAR-10, stored as JPEG 75")
    update(load_results(root))
    text = section(root, RESULTS, "field")
    assert "What compression costs" not in text
    assert cells(text, "`skip-48k` | BatchNorm")[6] == "–"


def test_the_distance_between_the_norms_is_told_for_both_recipes(root):
    accuracy = iter([79.0, 70.0, 71.5, 80.0, 81.0, 80.5])
    for which in ("source", "course"):
        for run in field_runs([which], ["skip-48k"], seeds=[1]):
            keep(root, run, next(accuracy))
    keep(root, field_runs(["course"], ["wide-31k"], ["batch"], [1])[0], 60.0)
    update(load_results(root))
    text = section(root, RESULTS, "field")
    assert "then the course's: `skip-48k` 9.00 and 1.00 points.\n" in text


def test_what_the_whole_map_gains_is_told_with_its_interval(root):
    for network, accuracies in {"wide-31k": (78, 80), "wide-31k-adaptive": (80, 82)}.items():
        for seed, accuracy in enumerate(accuracies, 1):
            keep(root, field_runs(["course"], [network], ["group"], [seed])[0], accuracy)
    keep(root, field_runs(["course"], ["wide-31k"], ["layer"], [1])[0], 80.0)
    update(load_results(root))
    text = section(root, RESULTS, "field")
    assert "GroupNorm +2.00 (−4.08 to +8.08)." in text  # two degrees of freedom: ±4.30 · √2


def test_recipes_run_on_different_images_are_not_compared(root):
    datasets = {"source": "CIFAR-10", "course": "CIFAR-10 (JPEG copy)"}
    for run in field_runs(networks=["skip-48k"], norms=["batch"], seeds=[1]):
        keep(root, run, 80.0, dataset=datasets[run.label])
    update(load_results(root))
    row = cells(section(root, RESULTS, "field"), "`skip-48k` | BatchNorm")
    assert row[7:] == ["–", "CIFAR-10; CIFAR-10 (JPEG copy)"]


def test_the_page_of_the_networks_has_their_layers_and_where_they_are_taught(root):
    update(load_results(root))
    text = section(root, NETWORKS, "networks")
    for norm, lesson in LESSONS.items():
        for network, kind in lesson_networks(lesson).items():
            _, words, parameters, _, lessons, _ = cells(text, f"`{network}`")
            assert parameters == f"{count_parameters(build(network, kind)):,}"
            assert f"[{lesson}](../../{lesson}/README.md)" in lessons
            assert LABELS[kind] in words
            assert kind == norm or (network, norm) == ("plain-47k", "group")
            assert text.count(f"<code>{network}</code>") == 1
            assert f"Total params: {parameters}" in text
    assert "skip connections, sums without a row" in text


def test_the_log_of_the_search_becomes_a_table_the_best_of_the_longest_first(root):
    folder = root / "common" / "results"
    rows = [f"try {i},48000,batch,6,45000,{70 + i / 10},{i}|2" for i in range(15)]
    header = "name,parameters,norm,epochs,train_images,validation_accuracy,notes"
    random.Random(0).shuffle(rows)
    (folder / "search.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    update(load_results(root))
    text = section(root, RESULTS, "search")
    names = re.findall(r"^\| (try \d+)", text, flags=re.MULTILINE)
    assert names == [f"try {i}" for i in reversed(range(15))]
    assert "<summary>3 more</summary>" in text
    assert cells(text, "try 14")[-2:] == ["14\\", "2"]  # the bar inside a note is escaped
    assert cells(text, "try 10")[5] == "71.00"
    assert "15 runs" in text


def test_learning_rates_tried_with_every_norm_become_a_grid_with_the_best_in_bold():
    rows = [
        {"name": "course", "norm": norm, "learning_rate": str(rate), "epochs": "4"}
        | {"validation_accuracy": str(80 + 10 * rate - 5 * (norm == "layer") * rate * 3)}
        for norm in ("layer", "batch", "group")
        for rate in (0.2, 0.1)
    ]
    other = {"name": "course", "norm": "batch", "learning_rate": "0.1", "epochs": "6"}
    rows.append(other | {"validation_accuracy": "99"})
    text = learning_rate_grid(rows)
    assert "99" not in text
    assert cells(text, "Validation %")[1:] == ["0.1", "0.2"]
    assert cells(text, "BatchNorm") == ["BatchNorm", "81.00", "**82.00**"]
    assert cells(text, "LayerNorm") == ["LayerNorm", "**79.50**", "79.00"]
    assert "4 epochs, one run each" in text
    assert "For BatchNorm and GroupNorm the best rate, 0.2, is the highest that was tried" in text
    assert "For LayerNorm the best rate, 0.1, is the lowest that was tried: a lower one" in text
    # Batch norm at 0.1, another seed.
    again = rows[3] | {"validation_accuracy": "82", "notes": "seed 2; 9 s on the clock, CPU"}
    text = learning_rate_grid([*rows, again])
    assert cells(text, "BatchNorm") == ["BatchNorm", "81.50", "**82.00**"]
    assert "4 epochs, means of up to 2 runs" in text
    notes = {"notes": "alternating; seed 2; 9 s on the clock, CPU"}
    for change in ({"parameters": "5"}, {"optimiser": "sgd"}, {"epochs_done": "3"}, notes):
        assert learning_rate_grid([*rows, again | change]).count("81.50") == 0
    assert "4 epochs (alternating), one" in learning_rate_grid([row | notes for row in rows[:6]])
    assert learning_rate_grid(rows[1:]) == ""  # a grid with a hole compares nothing fairly


def test_a_norm_at_home_with_the_shared_rate_stands_in_both_tables(root):
    runs = [Run("course", "batch", course_recipe("batch", 1, tuned=True), label="tuned")]
    runs += [Run("course", norm, course_recipe(norm)) for norm in ("batch", "layer")]
    for run, accuracy in zip(runs, (85.0, 84.0, 83.0), strict=True):
        keep(root, run, accuracy)
    update(load_results(root))
    shared, tuned = section(root, RESULTS, "course").split("**Each norm at the best learning rate")
    assert "learning rates BatchNorm 0.04, LayerNorm 0.02" in tuned
    assert (cells(shared, "BatchNorm |")[3], cells(tuned, "BatchNorm |")[3]) == (
        "**84.00** (n = 1)",
        "**85.00** (n = 1)",
    )
    assert cells(tuned, "LayerNorm |")[3] == "**83.00** (n = 1)"
    assert "**83.00** (n = 1)" in section(root, TOP, "results")
    assert "**85.00**" not in section(root, TOP, "results")


def test_a_best_rate_at_the_edge_of_what_was_tried_is_told_where_it_is_used(root):
    tuned = Run("course", "batch", course_recipe("batch", 1, tuned=True), label="tuned")
    keep(root, tuned, 85.0)
    log = root / "common" / "results" / "search.csv"
    rows = [f"course,{norm},{rate},4,{rate}" for norm in LESSONS for rate in (1, 2, 4)]
    header = "name,norm,learning_rate,epochs,validation_accuracy"
    middle = [f"course,{norm},3,4,{10 if norm == 'layer' else 0}" for norm in LESSONS]
    log.write_text("\n".join([header, *rows, *middle]), encoding="utf-8")
    update(load_results(root))
    words = "For BatchNorm and GroupNorm the best rate, 4, is the highest that was tried"
    assert words in section(root, RESULTS, "course")
    assert words not in section(root, TOP, "results")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<!-- results:start -->", "do not pair up"),
        ("<!-- results:end --><!-- results:start -->", "do not pair up"),
        ("<!-- a:start --><!-- results:start --><!-- a:end --><!-- results:end -->", "pair up"),
        ("<!-- results:start --><!-- results:end -->" * 2, "pair up"),
        ("<!-- resluts:start --><!-- resluts:end -->", "'resluts' that no table"),
    ],
)
def test_marks_that_lead_nowhere_are_refused(page, words):
    with pytest.raises(ValueError, match=words):
        fill(page, {"results": "text"})


def test_text_around_a_section_stays_as_it_is():
    page = "before\n<!-- results:start -->\nold\n<!-- results:end -->\nafter $\\mu$\n"
    filled = fill(page, {"results": "new \\1"})
    assert filled == page.replace("old", "new \\1")


def test_figures_are_drawn_from_results_and_shown_in_the_readme(root):
    for norm in LESSONS:
        keep(root, course(norm, 1), 88.0)
    for run in field_runs(["course"], ["wide-31k"], seeds=[1]):
        keep(root, run, 75.0)
    drawn = {path.relative_to(root).as_posix(): path.read_bytes() for path in figures.draw(root)}
    names = {f"{lesson}/results/curves.png" for lesson in LESSONS.values()}
    names |= {f"common/results/{name}.png" for name in ("sets", "comparison", "field")}
    assert set(drawn) == names
    assert all(len(content) < 150_000 for content in drawn.values())
    update(load_results(root))
    assert "](results/curves.png)" in section(root, "Layer-Norm/README.md", "results")
    assert "](common/results/comparison.png)" in section(root, TOP, "results")
    assert "](field.png)" in section(root, RESULTS, "field")
    first = next(iter(figures.draw(root)))
    assert first.read_bytes() == drawn[first.relative_to(root).as_posix()]


def test_the_two_recipes_are_drawn_for_networks_that_have_every_norm_with_both(root):
    for run in field_runs(["source", "course"], ["wide-31k", "plain-47k"], seeds=[1]):
        keep(root, run, 75.0)
    keep(root, field_runs(["course"], ["skip-48k"], ["batch"], seeds=[1])[0], 80.0)
    drawn = {path.name for path in figures.draw(root)}
    assert "recipes.png" in drawn
    assert set(both_ways(load_results(root))) == {"wide-31k"}
    update(load_results(root))
    assert "](recipes.png)" in section(root, RESULTS, "field")


def test_the_figure_of_the_field_shows_one_recipe_never_a_mixture(root, monkeypatch):
    shown = []
    draw = figures.visualisation.comparison
    monkeypatch.setattr(
        figures.visualisation, "comparison", lambda runs, **more: shown.extend(runs) or draw(runs)
    )
    for run in field_runs(["source", "course"], ["wide-31k", "skip-48k"], seeds=[1]):
        keep(root, run, 75.0)
    list(figures.draw(root))
    assert len(shown) == 6
    assert {run.recipe.optimiser for run in shown} == {"muon"}


def test_every_norm_of_the_field_has_a_lesson_and_a_name():
    assert {entry.norm for entry in FIELD} <= set(LESSONS) <= set(LABELS)


def test_the_race_s_table_counts_the_runs_past_the_target_and_those_that_diverged(root):
    recipe = replace(RACE, seed=1)
    runs = []
    for seed, accuracy in enumerate([69.9, 71.5, None], start=1):
        run = History("course", "batch", 1, replace(recipe, seed=seed), "CIFAR-10", threads=2)
        if accuracy is None:
            run.failure = "The training loss became nan."
        else:
            row = epoch_row(3, 0.0, Score(1.0, 60.0), Score(1.0, accuracy), 10.0)
            run.epochs = [row] * recipe.epochs
        runs.append(run)
    save_race(runs, root / "common" / "results" / "race.csv")
    text = race_section(load_results(root))
    assert "| BatchNorm | 70.70 ± 1.13 (n = 2) | 69.90 | 1 of 3 |" in text
    assert f"{', '.join(map(str, RACE.sizes))}, in full" in text
    assert race_section(Results(root)) == NOTHING_YET
