"""Questions to answer before they are settled: skipped, they change nothing."""

import pytest

from common.visualisation import Note, Quiz

QUESTIONS = {"A < B.": "yes", "C.": "no", "D.": None}
CHOICES = ("yes", "no")


def test_left_open_everything_runs(capsys):
    quiz = Quiz(QUESTIONS, CHOICES)
    quiz._ipython_display_()  # no front end here
    assert capsys.readouterr().out.startswith("○ A < B.\n○ C.\n○ D.\nChoose: yes / no.")
    assert isinstance(quiz.tally(), Note)


def test_answers_typed_into_the_cell_are_counted_as_far_as_they_are_settled():
    quiz = Quiz(QUESTIONS, CHOICES, answers=("yes", "yes", "no"))
    assert repr(quiz).startswith("● A < B. – yes\n")
    tally = quiz.tally()
    assert repr(tally).splitlines() == [
        "✓ A < B. You: yes. It is: yes.",
        "✗ C. You: yes. It is: no.",
        "  D. You: no. It is: –.",
        "1 of 2 right; by chance it would be 1.0.",
    ]
    page = tally._repr_html_()
    assert "A &lt; B." in page
    assert (page.count("✓"), page.count("✗")) == (1, 1)
    assert page.count('style="text-align:left"') == page.count("<td") + page.count("<th")


def test_lists_take_what_is_chosen():
    quiz = Quiz(QUESTIONS, CHOICES, live=True)
    menu, question = quiz._card().children[0].children
    assert question.value == "A &lt; B."
    menu.value = "no"
    assert quiz.given == {"A < B.": "no", "C.": "", "D.": ""}
    assert repr(quiz.tally()) == (
        "✗ A < B. You: no. It is: yes.\n0 of 1 right; by chance it would be 0.5."
    )
    menu.value = ""
    assert isinstance(quiz.tally(), Note)


def test_a_long_question_is_broken_between_words():
    first, second, *_ = repr(Quiz({"word " * 25: None}, CHOICES)).splitlines()
    assert first.startswith("○ word")
    assert second.startswith("  word")
    assert len(first) <= 76


def test_where_nothing_is_settled_nothing_is_counted():
    assert repr(Quiz({"D.": None}, CHOICES, answers="yes").tally()).endswith("been settled yet.")


def test_answers_that_are_no_choice_or_too_many_are_refused():
    with pytest.raises(ValueError, match="'perhaps' is none of the choices: give up to 3"):
        Quiz(QUESTIONS, CHOICES, answers=("perhaps",))
    with pytest.raises(ValueError, match="too many answers"):
        Quiz({"D.": None}, CHOICES, answers=("yes", "no"))
