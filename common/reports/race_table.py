"""What the race to 70 % came to: each norm's accuracy and the time it took."""

from __future__ import annotations

from common.experiments import summarise
from common.reports.cells import NOTHING_YET, each, markdown, number_words
from common.reports.kept import Results
from common.settings import LESSONS
from common.training import TARGET
from common.visualisation import LABELS


def race_section(results: Results) -> str:
    """A row a norm: test accuracy over the seeds, its lowest, and the seconds that a run took."""
    if not results.race:
        return NOTHING_YET
    table = []
    for norm in LESSONS:
        runs = [row for row in results.race if row["norm"] == norm]
        done = [float(row["test_accuracy"]) for row in runs if not row["failure"]]
        if not done:
            continue
        seconds = sorted(float(row["seconds"]) for row in runs)
        past = sum(accuracy > TARGET for accuracy in done)
        table.append(
            [
                LABELS[norm],
                str(summarise(done)),
                f"{min(done):.2f}",
                f"{past} of {len(runs)}",
                f"{seconds[0]:.0f} to {seconds[-1]:.0f}",
            ]
        )
    header = ["Norm", "Test %", "Lowest", f"Past {TARGET:.0f} %", "Seconds a run"]
    first = results.race[0]
    sizes = ", ".join([*first["sizes"].split(), "in full"])
    note = (
        f"The course's network, {first['epochs']} epochs with images of these sizes: {sizes}; "
        f"batches of {first['batch_size']}, learning rate {first['learning_rate']}. Seeds "
        f"{number_words({int(row['seed']) for row in results.race})}; test accuracy after the last "
        "epoch; mean ± standard deviation. Seconds: training and evaluation, "
        f"{each(row['threads'] for row in results.race)} thread(s), "
        f"{each(row['device'] for row in results.race)}. "
        f"Data set: {each(row['dataset'] for row in results.race)}."
    )
    return f"{markdown(header, table, 'lrrrr')}\n\n{note}"
