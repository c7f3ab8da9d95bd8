"""The court: every claim about the norms, what was measured, and the verdict by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.experiments import laboratory
from common.reports.cells import DASH, markdown, number_words
from common.reports.court_rows import command_of, rows_of
from common.reports.kept import Results
from common.settings import LESSONS

PAGE = "common/results/court.md"
FOLDER = Path("common") / "results" / "studies"


def court_page(results: Results) -> str | None:
    """The whole page, made from the studies' files that count; None where there is none yet."""
    found = _found(results)
    return _page(found) if found else None


def court_section(results: Results) -> str:
    """The claims that are heard most, as far as something decides them: said, and the verdicts."""
    verdicts = [v for kept in _found(results).values() for v in laboratory.judge(kept)]
    rows = [(c.said, _in_short(c, verdicts)) for c in laboratory.CLAIMS if c.often]
    return markdown(("What is said", "Verdict"), [row for row in rows if row[1]])


def _found(results: Results) -> dict[str, laboratory.Kept]:
    folder = results.root / FOLDER
    return {
        name: laboratory.load(study, folder / f"{name}.jsonl")
        for name, study in laboratory.STUDIES.items()
        if results.counts(folder / f"{name}.jsonl")
    }


def _in_short(claim: laboratory.Claim, verdicts: Sequence[laboratory.Verdict]) -> str:
    """One word for all comparisons, or how many of them came to which; "" if none was made."""
    if claim.proof:
        return f"proven: {claim.proven}"
    words = Counter(
        v.word.removesuffix(" by this data")
        for v in verdicts
        if v.contrast.claim == claim.key and v.word != laboratory.NOT_RUN
    )
    if len(words) < 2:
        return "".join(words)
    first, *others = words.most_common()
    told = f"{first[0]} in {first[1]} of {sum(words.values())}"
    return ", ".join([told, *(f"{word} in {n}" for word, n in others)])


def _page(found: Mapping[str, laboratory.Kept]) -> str:
    verdicts = {name: laboratory.judge(found[name]) for name in found}
    rows, rules = [], []
    for claim in laboratory.CLAIMS:
        rows += _rows(claim, verdicts)
    for study in laboratory.STUDIES.values():
        runs = _runs_words(found.get(study.name))
        rules.append((f"`{study.name}`", study.question, *map(str, study.setting.values()), runs))
    words = (
        "# The court: what is said about the norms, and what was measured",
        "Written by `python -m common tables` from the files in [studies](studies/); no figure "
        "here is typed by hand. An effect is a difference of means over seeds, or over what a row "
        "names beside n, with its 95 % interval (Welch). *Holds*: it is above the smallest that "
        "matters: 0.5 points or epochs, 0.3 decades, 1 MB; 0 for drift, change of the gradient and "
        "correlation; −0.5 points where a gain is to be gone. *Does not hold*: it is below. *Not "
        "decided by this data*: else. Where a study makes several comparisons, a verdict must also "
        "pass by Holm's correction; the interval shown is that of one comparison alone. The rules "
        "stood before all runs but the shipped ones (study `curves`), unless a row says otherwise, "
        "in `common/experiments/laboratory/studies/`. *Proven*: by a formula or an equality, in "
        "the test named.",
        markdown(("What is said", "Heard from", "What was measured", "Verdict", "In the lessons",
                  "Do it again"), rows),
        "## The studies",
        markdown(("Study", "Question", "Network", "Images", "Recipe", "Runs"), rules),
        *(
            f"![{found[name].study.question}](studies/{path})"
            for name in found
            for path in _figures(name, found[name])
        ),
    )  # fmt: skip
    return "\n\n".join(words) + "\n"


def _figures(name: str, result: laboratory.Kept) -> list[str]:
    count = len(result.study.plots)
    return [f"{name}-{i}.png" if count > 1 else f"{name}.png" for i in range(1, count + 1)]


def _runs_words(result: laboratory.Kept | None) -> str:
    if result is None or not result.lines:
        return laboratory.NOT_RUN
    seeds = number_words({line.seed for line in result.lines})
    wanted = len(result.study.conditions) * len(result.study.seeds)
    return f"{len(result.lines)} of {wanted}; {result.study.repeats} {seeds}"


def _rows(
    claim: laboratory.Claim, verdicts: Mapping[str, Sequence[laboratory.Verdict]]
) -> list[tuple[str, ...]]:
    """A line of the page for each of the claim's rows."""
    lines, said = [], (claim.said, claim.heard)
    for row in rows_of(claim, verdicts):
        measured = row.measured + (f": **{row.effect}** (n = {row.seeds})" if row.seeds else "")
        command = command_of(claim, row)
        again = f"`{command}`" if command else DASH
        lines.append((*said, measured, row.verdict, _lesson(claim), again))
        said = ("″", "″")
    return lines


def _lesson(claim: laboratory.Claim) -> str:
    pages = {lesson.replace("-", " ").capitalize(): lesson for lesson in LESSONS.values()}
    pages = {title: f"{lesson}/README.md" for title, lesson in pages.items()}
    pages["Compare and choose"] = "common/Compare_and_Choose.ipynb"
    pages["Why normalise"] = "common/Why_Normalise.ipynb"
    title, comma, place = claim.lesson.partition(",")
    return f"[{title}](../../{pages[title]}){comma}{place}" if title in pages else DASH
