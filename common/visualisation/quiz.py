"""Questions with a few answers to choose from, and how many of the answers were right.

>>> quiz = Quiz({"The earth is flat.": "wrong", "It is round.": None}, ("right", "wrong"))
>>> quiz  # last in a cell: a list to choose from at each question
>>> quiz.tally()  # the answers beside the truth, as far as it is known

A live notebook shows the lists. Elsewhere the answers are typed into the cell, ``answers=(…)``. A
question that is left open changes nothing.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from common.visualisation.drawing import Note
from common.visualisation.interactive import CONTROLS_STYLE, controls_bundle, is_live

OPEN = "–"


class Quiz:
    """Questions, each with the same choices.

    Args:
        questions: each with its right answer, or None where it is not known yet.
        choices: what can be answered.
        answers: one a question, in order, if they are typed into the cell; "" leaves one open.
        live: whether to show lists to choose from; None means where a notebook can.

    Attributes:
        given: the answer to each question, "" for none.

    Raises ``ValueError`` for more answers than questions, or one that is no choice.
    """

    def __init__(
        self,
        questions: Mapping[str, str | None],
        choices: Sequence[str],
        *,
        answers: Sequence[str] = (),
        live: bool | None = None,
    ) -> None:
        answers = [answers] if isinstance(answers, str) else list(answers)
        strange = [a for a in answers if a not in ("", *choices)]
        if strange or len(answers) > len(questions):
            said = f"{strange[0]!r} is none of the choices" if strange else "too many answers"
            raise ValueError(
                f"{said}: give up to {len(questions)}, each one of {', '.join(choices)}."
            )
        self.truths, self.choices, self.live = dict(questions), tuple(choices), live
        answers += [""] * (len(questions) - len(answers))
        self.given = dict(zip(questions, answers, strict=True))

    def __repr__(self) -> str:
        lines = [
            repr(Note(f"{'●' if answer else '○'} {question}" + (f" – {answer}" if answer else "")))
            for question, answer in self.given.items()
        ]
        return "\n".join([*lines, f"Choose: {' / '.join(self.choices)}. Or leave it open."])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if is_live(self.live):
            words = "Choose from the lists, or leave them open."
            display({"text/html": CONTROLS_STYLE + words, "text/plain": repr(self)}, raw=True)
            display(controls_bundle(self._card()), raw=True)
        else:
            print(repr(self))

    def _card(self) -> Any:
        """A list to choose from at each question."""
        import ipywidgets

        rows = []
        for question, answer in self.given.items():
            options = [(OPEN, ""), *((choice, choice) for choice in self.choices)]
            menu = ipywidgets.Dropdown(options=options, value=answer, layout={"width": "16em"})
            menu.observe(partial(self._take, question), "value")
            rows.append(ipywidgets.HBox([menu, ipywidgets.HTML(html.escape(question))]))
        return ipywidgets.VBox(rows)

    def _take(self, question: str, change: Mapping[str, Any]) -> None:
        self.given[question] = change["new"]

    def tally(self) -> Answers | Note:
        """What was answered beside the truth; a sentence where nothing was."""
        if not any(self.given.values()):
            return Note(
                "No answer to tally. Choose some above and run this cell again, and they stand "
                "beside the truth here."
            )
        return Answers(self)


class Answers:
    """The answers of a quiz beside the truth: a table in a notebook, lines of text elsewhere."""

    def __init__(self, quiz: Quiz) -> None:
        self.rows = [(q, answer, quiz.truths[q]) for q, answer in quiz.given.items() if answer]
        settled = [answer == truth for _, answer, truth in self.rows if truth is not None]
        self.words = "None of them has been settled yet."
        if settled:
            blind = len(settled) / len(quiz.choices)
            self.words = (
                f"{sum(settled)} of {len(settled)} right; by chance it would be {blind:.1f}."
            )

    def __repr__(self) -> str:
        lines = [f"{_mark(a, t)} {q} You: {a}. It is: {t or OPEN}." for q, a, t in self.rows]
        return "\n".join([*lines, self.words])

    def _repr_html_(self) -> str:
        # Each cell has its own style: notebooks set tables to the right, as for numbers.
        left = 'style="text-align:left"'
        names = ("", "your answer", "it is", "")
        body = "<tr>" + "".join(f"<th {left}>{name}</th>" for name in names) + "</tr>"
        for question, answer, truth in self.rows:
            cells = (html.escape(question), answer, truth or OPEN, _mark(answer, truth))
            body += "<tr>" + "".join(f"<td {left}>{cell}</td>" for cell in cells) + "</tr>"
        return f"<table>{body}</table><p>{self.words}</p>"


def _mark(answer: str, truth: str | None) -> str:
    return " " if truth is None else "✓" if answer == truth else "✗"
