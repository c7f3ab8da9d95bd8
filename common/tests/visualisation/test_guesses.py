"""Cards to guess on: a guess stands beside the truth, and none changes nothing."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from common.visualisation.drawing import Note
from common.visualisation.guesses import Guesses, calibration


@pytest.fixture
def guesses():
    return Guesses()


def test_without_a_guess_everything_runs(guesses, capsys):
    card = guesses.ask("accuracy", unit="%")
    assert card.settle(10.0) == {}
    assert card.miss is None
    assert isinstance(guesses.tally(), Note)
    card._ipython_display_()  # no front end here
    assert capsys.readouterr().out == (
        "○ Your guess: accuracy? None yet, and everything runs without one.\n"
    )


def test_a_guess_typed_into_the_cell_is_drawn_with_its_unit(guesses, capsys):
    card = guesses.ask("accuracy", unit="%", margin=5, guess=40)
    assert card.settle(48.0) == {"your guess: 40 %": 40}
    assert card.miss == pytest.approx(-1.6)
    card._ipython_display_()
    assert capsys.readouterr().out == "● Your guess: accuracy: 40 %, give or take 5.\n"


@pytest.mark.parametrize(
    ("text", "margin", "value", "word"),
    [
        ("40", "5", 40, "taken: 40 %, give or take 5"),
        (" −2,5 % ", "1", -2.5, "taken: −2.5 %"),
        ("", "5", None, "no guess"),
        ("many", "5", None, "“many” is no number"),
        ("inf", "5", None, "is no number"),
        ("40", "0", None, "above zero"),
        ("40", "", None, "above zero"),
    ],
)
def test_what_is_typed_into_the_card_is_read_as_people_write(guesses, text, margin, value, word):
    card = guesses.ask("accuracy", unit="%")
    assert word in card.fill(text, margin)
    assert card.value == value


def test_the_card_takes_what_is_typed_and_says_what_it_took(guesses):
    card = guesses.ask("accuracy", unit="%", margin=10, live=True)
    number, _, margin, answer = card._card().children
    assert "no guess" in answer.value
    number.value = "35"
    margin.value = "7"
    assert (card.value, card.margin) == (35, 7)
    assert answer.value == "taken: 35 %, give or take 7"
    number.value = ""
    assert card.settle(20.0) == {}


def test_a_guess_too_many_or_a_margin_of_nothing_is_refused(guesses):
    with pytest.raises(ValueError, match="above zero"):
        guesses.ask("accuracy", margin=0)
    with pytest.raises(ValueError, match="'many' is no number"):
        guesses.ask("accuracy", guess="many")


def test_the_same_question_asked_again_starts_anew(guesses):
    guesses.ask("accuracy", guess=40).settle(50.0)
    guesses.ask("accuracy", guess=45).settle(50.0)
    assert len(guesses.cards) == 1
    assert "45, it was 50" in guesses.tally().alt


def test_the_tally_counts_margins_that_held_and_the_side_the_guesses_lean_to(guesses):
    for what, guess, truth in (("a", 10, 11), ("b", 10, 30), ("c", 10, 9), ("d", 10, None)):
        guesses.ask(what, guess=guess, margin=2).settle(truth)
    figure = guesses.tally()
    assert isinstance(figure, Figure)
    assert "the margin held the truth 2 of 3 times (at four to one: about 2.4)" in figure.alt
    assert "1 too high, 2 too low" in figure.alt
    assert "d:" not in figure.alt
    # One that is far off stays inside the figure.
    points = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() in "D<>"]
    assert points == [-0.5, -5.0, 0.5]


def test_a_single_guess_is_counted_in_the_singular():
    assert calibration([0.0]).startswith("the margin held the truth 1 of 1 time (")
