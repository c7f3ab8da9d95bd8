"""Cards on which learners guess a number before they see it, and how well they did in the end.

>>> guesses = Guesses()
>>> guess = guesses.ask("accuracy without a norm", unit="%", margin=10)  # last in a cell
>>> line_figure(x, lines, marks=guess.settle(truth), …)  # the guess beside the truth
>>> guesses.tally()  # all of them

A live notebook shows a card with two fields. Elsewhere, or for whoever prefers it, the number is
typed into the cell: ``ask(…, guess=40)``. A card that is left empty changes nothing.
"""

from __future__ import annotations

import html
import math
from typing import Any

from matplotlib.figure import Figure

from common.visualisation import theme
from common.visualisation.drawing import (
    FAINT,
    SMALL,
    Note,
    plain,
    shorten,
    signed,
    start,
    styled,
)
from common.visualisation.interactive import CONTROLS_STYLE, controls_bundle, is_live

ODDS = 0.8  # how often a margin is to hold: a bet at four to one
FURTHEST = 5.0  # margins from the truth; a guess further off is drawn there


class Guess:
    """One number to guess.

    Attributes:
        what: it is, in a few words, with ``unit``.
        value: what was guessed, or None.
        margin: give or take so much: the guesser would bet on it at four to one.
        truth: the number, once it is settled.
    """

    def __init__(
        self, what: str, unit: str, margin: float, guess: float | None, live: bool | None
    ) -> None:
        self.what, self.unit, self.margin = what, unit, margin
        self.value, self.truth, self.live = guess, None, live

    @property
    def marks(self) -> dict[str, float]:
        """The guess as a line of a figure, by the words that stand at it; {} without a guess."""
        return {} if self.value is None else {f"your guess: {self._with_unit()}": self.value}

    def settle(self, truth: float | None) -> dict[str, float]:
        """Keep what was guessed so far beside the truth (None: not known yet); the ``marks``."""
        self.truth = truth
        return self.marks

    @property
    def miss(self) -> float | None:
        """How far the guess is above the truth, in margins; None while one of them is missing."""
        if self.value is None or self.truth is None:
            return None
        return (self.value - self.truth) / self.margin

    def fill(self, text: str, margin: str) -> str:
        """Take what was typed; what the card says of it. Empty or no number: no guess."""
        self.value, width = _number(text), _number(margin)
        if not text.strip():
            return "no guess: everything runs without one"
        if self.value is None:
            return f"“{text.strip()}” is no number"
        if width is None or width <= 0:
            self.value = None
            return "the margin must be a number above zero"
        self.margin = width
        return f"taken: {self._with_unit()}, give or take {width:g}"

    def _with_unit(self, value: float | None = None) -> str:
        number = self.value if value is None else value
        return f"{number:g} {self.unit}".strip().replace("-", "−")

    def __repr__(self) -> str:
        if self.value is None:
            words = f"○ Your guess: {self.what}? None yet, and everything runs without one."
        else:
            words = f"● Your guess: {self.what}: {self._with_unit()}, give or take {self.margin:g}."
        return repr(Note(words))

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if is_live(self.live) and self.value is None:
            unit = f" ({self.unit})" if self.unit else ""
            question = f"<b>Your guess:</b> {html.escape(self.what + unit)}?"
            display({"text/html": CONTROLS_STYLE + question, "text/plain": repr(self)}, raw=True)
            display(controls_bundle(self._card()), raw=True)
        else:
            print(repr(self))

    def _card(self) -> Any:
        """Two fields and a word on what was understood."""
        import ipywidgets

        number = ipywidgets.Text(placeholder="a number, or nothing", layout={"width": "12em"})
        margin = ipywidgets.Text(value=f"{self.margin:g}", layout={"width": "6em"})
        answer = ipywidgets.HTML(self.fill("", "1"))

        def typed(_: Any) -> None:
            answer.value = self.fill(number.value, margin.value)

        number.observe(typed, "value")
        margin.observe(typed, "value")
        return ipywidgets.HBox([number, ipywidgets.HTML("give or take"), margin, answer])


class Guesses:
    """All guesses of a notebook."""

    def __init__(self) -> None:
        self.cards: dict[str, Guess] = {}

    def ask(
        self,
        what: str,
        *,
        unit: str = "",
        margin: float = 1.0,
        guess: float | None = None,
        live: bool | None = None,
    ) -> Guess:
        """A card, to stand last in a cell. Asked again, the same question starts anew.

        Args:
            what: is guessed, in a few words.
            unit: of the number.
            margin: that the card offers; the guesser may take another.
            guess: the number, if it is typed into the cell.
            live: whether to show fields to fill in; None means where a notebook can.

        Raises ``ValueError`` for a margin that is not above zero, or a guess that is no number.
        """
        if not margin > 0:
            raise ValueError(f"A margin of {margin} holds nothing; give a number above zero.")
        if guess is not None and _number(str(guess)) is None:
            raise ValueError(f"{guess!r} is no number; type one, such as guess=40, or None.")
        number = None if guess is None else _number(str(guess))
        self.cards[what] = card = Guess(what, unit, margin, number, live)
        return card

    def tally(self) -> Figure | Note:
        """How far all settled guesses are from the truth; a sentence where there is none."""
        done = [card for card in self.cards.values() if card.miss is not None]
        if not done:
            return Note(
                "No guess to tally. Fill in a card and run the cells after it, and your guess "
                "stands beside the truth here."
            )
        return _tally_figure(done)


def calibration(misses: list[float]) -> str:
    """In words: how often the margins held the truth, and to which side the guesses lean."""
    held, count = sum(abs(miss) <= 1 for miss in misses), len(misses)
    high = sum(miss > 0 for miss in misses)
    times = "time" if count == 1 else "times"
    return (
        f"the margin held the truth {held} of {count} {times} (at four to one: about "
        f"{ODDS * count:.1f}); {high} too high, {sum(miss < 0 for miss in misses)} too low"
    )


@styled
def _tally_figure(cards: list[Guess]) -> Figure:
    misses = [card.miss for card in cards]
    words = calibration(misses)
    figure = start(f"Your guesses: {words}", 1.1 + 0.42 * len(cards))
    axes = figure.subplots()
    axes.axvspan(-1, 1, color=theme.OTHER_COLOURS[2], alpha=0.2, linewidth=0)
    axes.axvline(0, color="black", linewidth=1)
    for place, card in enumerate(cards):
        at = max(-FURTHEST, min(FURTHEST, card.miss))
        marker = "D" if at == card.miss else "<" if at < 0 else ">"
        axes.plot([at], [place], marker, color=theme.OTHER_COLOURS[4], markersize=8)
        told = f"{card._with_unit()}, it was {card._with_unit(_short(card.truth))}"
        axes.annotate(
            plain(told), (1.01, place), xycoords=("axes fraction", "data"), va="center",
            fontsize=SMALL, color=FAINT, annotation_clip=False,
        )  # fmt: skip
        figure.alt += f" {card.what}: {told}, {signed(card.miss)} margins off."
    names = [plain(shorten(card.what, 3.6, 10)) for card in cards]
    axes.set_yticks(range(len(cards)), names)
    axes.set(xlim=(-FURTHEST - 0.3, FURTHEST + 0.3), ylim=(len(cards) - 0.5, -0.5))
    axes.set_xlabel("guess minus truth, in your margins (shaded: within the margin)")
    return figure


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _number(text: str) -> float | None:
    """A number as people type it, ``13,5`` and ``−2 %`` too; None if it is none."""
    text = text.strip().removesuffix("%").strip().replace("−", "-").replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
