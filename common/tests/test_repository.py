"""The repository as a reader finds it: its layout, its notebooks, its links and its commands.

What is checked is what git would commit (the index): a learner who has played with a lesson, or
keeps a data set beside it, has broken nothing.
"""

from __future__ import annotations

import json
import posixpath
import re
from functools import cache
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest

from common import cli
from common.experiments import median_run, weights_of
from common.reports.kept import finished, load_results
from common.reports.notebooks import in_form
from common.settings import LESSONS, ROOT
from common.tests.checkout import committed, git, missing, refusal
from common.tests.stress.commands import unknown

OPENING, CLOSING = "common/Why_Normalise.ipynb", "common/Compare_and_Choose.ipynb"
NOTEBOOKS = [  # in the order of the course
    OPENING,
    "Batch-Norm/Cifar_10_BN.ipynb",
    "Layer-Norm/Cifar_10_LN.ipynb",
    "Group-Norm/Cifar_10_GN.ipynb",
    CLOSING,
]
LESSON_PAGES = [f"{lesson}/README.md" for lesson in LESSONS.values()]
COMMON_PAGES = [
    "common/README.md",
    "common/networks/README.md",
    "common/results/README.md",
    "common/results/court.md",
    "common/results/speed.md",
]
READMES = ["README.md", *LESSON_PAGES, *COMMON_PAGES]
COMMANDS = [
    "pip install -r requirements.txt && python -m common compare",
    "pip install -r requirements.txt && pytest",
]
TEXT = {".py", ".md", ".ipynb", ".txt", ".json", ".csv", ".yml", ".toml", ".ini", ".svg", ""}


@cache
def content(path: str) -> bytes:
    """A file as git would commit it."""
    assert path in committed(), f"{path} is missing"
    return git("show", f":{path}")


def text(path: str) -> str:
    return content(path).decode("utf-8")


def cells(path: str, kind: str) -> list[dict]:
    return [cell for cell in json.loads(text(path))["cells"] if cell["cell_type"] == kind]


def prose(path: str) -> str:
    """The Markdown of a README or of a notebook, without its code blocks."""
    if path.endswith(".md"):
        markdown = text(path)
    else:
        markdown = "\n\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    return re.sub(r"^( *)(```|~~~).*?^\1\2", "", markdown, flags=re.MULTILINE | re.DOTALL)


def links(path: str) -> list[str]:
    markdown = re.sub(r"`[^`\n]*`", "", prose(path))
    inline = re.findall(r"\]\(\s*<?([^)\s>]+)", markdown)
    reference = re.findall(r"^\s*\[[^\]]+\]:\s*<?(\S+?)>?\s*$", markdown, flags=re.MULTILINE)
    html = re.findall(r"<(?:img|a|source)\b[^>]*?\b(?:src|href|srcset)=\"([^\"]+)\"", markdown)
    return inline + reference + html


def anchors(path: str) -> set[str]:
    """The anchors GitHub gives the headings of a page."""
    headings = re.findall(r"^#{1,6}\s+(.*?)\s*#*\s*$", prose(path), flags=re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def test_git_can_read_this_checkout():
    """Else every test of what is committed is skipped, and this one failure says why."""
    if reason := missing():
        pytest.skip(reason)
    if reason := refusal():
        pytest.fail(
            f"git says: {reason}. If the folder is yours to trust, run\n"
            f'git config --global --add safe.directory "{ROOT.as_posix()}"',
            pytrace=False,
        )


def test_visible_top_level_is_the_one_that_was_agreed():
    visible = {path.split("/")[0] for path in committed() if not path.startswith(".")}
    agreed = {"Batch-Norm", "Group-Norm", "Layer-Norm", "common", "README.md", "requirements.txt"}
    assert visible <= agreed | {"LICENSE"}


def test_weights_ship_of_the_median_runs_alone():
    paths = committed()
    results = load_results()
    field = [runs for (*_, which), runs in results.field_runs.items() if which == "course"]
    course = [[run for run in results.course[""] if run.norm == norm] for norm in LESSONS]
    medians = [median_run(finished(runs)) for runs in (*course, *field)]
    wanted = {weights_of(run).relative_to(ROOT).as_posix() for run in medians}
    assert {path for path in paths if path.endswith(".safetensors")} == wanted


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook_was_run_once_from_top_to_bottom(notebook):
    code = cells(notebook, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook_shows_no_errors_and_no_warnings(notebook):
    outputs = [
        (number, output.get("name", output["output_type"]))
        for number, cell in enumerate(cells(notebook, "code"), start=1)
        for output in cell["outputs"]
    ]
    assert [entry for entry in outputs if entry[1] in {"error", "stderr"}] == []


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook_opens_on_github(notebook):
    # GitHub shows nothing of a notebook with saved widgets, and gives up on big ones. A figure is
    # in it twice, sharp for the screen and small for PDF.
    assert "widgets" not in json.loads(text(notebook))["metadata"]
    assert len(content(notebook)) < 1_500_000


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_that_is_opened_and_saved_stays_as_it_is(notebook):
    assert in_form(text(notebook)) == text(notebook), "run: python -m common notebooks"


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_nothing_in_a_notebook_stops_a_pdf(notebook):
    # LaTeX takes no picture from the web that Markdown names; HTML it leaves out.
    assert re.findall(r"!\[[^\]]*\]\(https?:[^)]*\)", prose(notebook)) == []


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_code_cells_fit_on_a_screen(notebook):
    lines = {
        number: sum(bool(line.strip()) for line in "".join(cell["source"]).splitlines())
        for number, cell in enumerate(cells(notebook, "code"), start=1)
    }
    assert {number: count for number, count in lines.items() if count > 15} == {}


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_each_card_to_guess_on_has_a_name_of_its_own(notebook):
    # Else whoever runs all, fills in a card and runs the next cell again settles the last card.
    code = "\n".join("".join(cell["source"]) for cell in cells(notebook, "code"))
    names = re.findall(r"^(\w+) = guesses\.ask\(", code, re.MULTILINE)
    assert len(set(names)) == code.count("guesses.ask(") > 0


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook_is_tested_from_top_to_bottom(notebook):
    (line,) = re.findall(r"^testpaths = (.*)$", text(".pytest.ini"), flags=re.MULTILINE)
    assert any(notebook.startswith(path) for path in line.split())


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_is_a_conversation(notebook):
    written = [len("".join(cell["source"]).split()) for cell in cells(notebook, "markdown")]
    assert sum(written) <= 4500
    assert 45 <= len(written) + len(cells(notebook, "code")) <= 60


def test_the_first_page_has_the_notebooks_in_the_order_of_the_course():
    badges = re.findall(r"blob/main/([^)\s\"]+\.ipynb)\)", text("README.md"))
    assert badges == NOTEBOOKS


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_sections_are_numbered_one_by_one(notebook):
    numbers = re.findall(r"^## (\d+) · \S", prose(notebook), flags=re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    assert len(re.findall(r"^# ", prose(notebook), flags=re.MULTILINE)) == 1


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_figure_has_a_text_for_screen_readers(notebook):
    shown = [output for cell in cells(notebook, "code") for output in cell["outputs"]]
    figures = [output for output in shown if "image/png" in output.get("data", {})]
    assert figures
    assert all(figure["metadata"]["image/png"]["alt"] for figure in figures)


def test_nothing_names_a_folder_of_one_machine():
    # Built from parts, for this file is read too.
    folders = "|".join(["home", "root", "tmp", "work", "Users", "mnt", "scratch"])
    machine = re.compile(rf"(?<![\w.~:/-])(?:[A-Za-z]:)?[/\\](?:{folders})[/\\][\w.]+")
    found = {
        path: sorted(set(machine.findall(text(path))))
        for path in committed()
        if PurePosixPath(path).suffix in TEXT
    }
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("page", [*READMES, *NOTEBOOKS])
def test_links_lead_somewhere(page):
    folder = PurePosixPath(page).parent
    paths = set(committed()) | {str(p) for path in committed() for p in PurePosixPath(path).parents}
    broken = []
    for link in links(page):
        target, _, anchor = unquote(link).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = posixpath.normpath(folder / target) if target else page
        if path not in paths or (anchor and path.endswith(".md") and anchor not in anchors(path)):
            broken.append(link)
    assert broken == []


def test_every_page_is_checked():
    assert {path for path in committed() if path.endswith(".md")} == set(READMES)


@pytest.mark.parametrize(
    ("page", "lines", "words"),
    [("README.md", 150, 1500), *((page, 60, 600) for page in LESSON_PAGES)],
)
def test_a_visitor_s_page_is_short(page, lines, words):
    assert len(text(page).splitlines()) <= lines
    assert len(text(page).split()) <= words


def test_the_first_screen_has_a_figure_every_lesson_and_both_commands():
    screen, _, rest = text("README.md").partition("\n## ")
    assert rest
    assert screen.count("![") == 1 + 1 + len(NOTEBOOKS)  # the tests' badge, the figure, Colab's
    assert screen.count("*start here*") == 1
    for page in (OPENING, *LESSON_PAGES, CLOSING):
        assert f"]({page})" in screen
    assert all(command in screen.splitlines() for command in COMMANDS)
    assert len(screen.splitlines()) <= 30


def test_every_environment_variable_is_in_the_readme():
    names = re.compile(r"\bNORMS_[A-Z0-9]+\b")
    code = "".join(text(path) for path in committed() if re.match(r"common/(?!tests).*\.py$", path))
    rows = [line for line in text("common/README.md").splitlines() if line.startswith("| `NORMS_")]
    assert {name for row in rows for name in names.findall(row.split("|")[1])} == set(
        names.findall(code)
    )


def test_every_address_of_the_course_is_the_same():
    # Whoever publishes a copy replaces one name everywhere; none may be forgotten.
    address = re.compile(
        r"(?:colab\.research\.google\.com/github/|(?:git clone |COURSE = .*?)https://github\.com/)"
        r"([\w-]+/[\w-]+)|github\.com/([\w-]+/[\w-]+)/actions"
    )
    pages = ["README.md", *LESSON_PAGES, *NOTEBOOKS]
    named = {page: {one or other for one, other in address.findall(text(page))} for page in pages}
    assert len(set().union(*named.values())) == 1, named
    assert all(named.values()), "a page has no Open-in-Colab badge"


@pytest.mark.parametrize("page", ["README.md", *LESSON_PAGES, *NOTEBOOKS])
def test_colab_badges_open_a_lesson(page):
    opened = re.findall(
        r"colab\.research\.google\.com/github/[^/]+/[^/]+/blob/main/([^)\s\"\\]+)", text(page)
    )
    assert opened
    assert set(opened) <= set(NOTEBOOKS)


@pytest.mark.parametrize("page", [*READMES, *NOTEBOOKS])
def test_spelling_is_british(page):
    assert re.findall(r"\b\w*visuali[z]\w*", text(page), flags=re.IGNORECASE) == []


def test_commands_in_the_text_exist(capsys):
    written = [
        (page, name, options)
        for page in [*READMES, *NOTEBOOKS]
        for name, options in re.findall(r"python -m common ([a-z][\w-]*)([^`|&#\n]*)", text(page))
    ]
    assert written
    for page, name, options in written:
        with pytest.raises(SystemExit) as stopped:
            cli.main([name, "--help"])
        known = capsys.readouterr().out
        assert stopped.value.code == 0, f"{page}: there is no command {name}"
        for option in re.findall(r"--[a-z][\w-]*", options):
            assert option in known, f"{page}: {name} has no option {option}"


def test_the_stress_test_knows_every_command_and_option():
    assert unknown() == []


def test_every_command_is_in_the_readme(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert "to 70 % and compare" in " ".join(shown.split())
    commands = re.findall(r"^ {4}([a-z][\w-]*)", shown, flags=re.MULTILINE)
    assert "compare" in commands
    page = text("common/README.md")
    assert [name for name in commands if f"| `python -m common {name}" not in page] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_s_commands_are_the_ones_that_are_checked(command):
    lines = text("README.md").splitlines()
    assert command in lines
    assert f"run '{command}'" in text(".ci/run").splitlines()
    assert sum(line.startswith(COMMANDS[0].split(" && ")[0]) for line in lines) == len(COMMANDS)
