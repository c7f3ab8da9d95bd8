"""What a check finds, and what an error in the learner's code usually means."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch

RIGHT, WRONG, NOT_ATTEMPTED = "right", "wrong", "not attempted yet"


@dataclass(frozen=True)
class Verdict:
    """What a check found: its `repr` is the message for the learner.

    state: "right", "wrong" or "not attempted yet". symptom: what is wrong, in numbers where there
    are any. hint: the likely mistake. reveal: whether the message tells the hint; where finding
    the mistake is the exercise, it does not.
    """

    state: str
    symptom: str = ""
    hint: str = ""
    reveal: bool = True

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.state == RIGHT

    @property
    def attempted(self) -> bool:
        """Whether there is an answer at all."""
        return self.state != NOT_ATTEMPTED

    def __repr__(self) -> str:
        if not self.attempted:
            return "○ Not attempted yet."
        if self.right:
            return f"✓ {self.symptom}"
        hint = f"Hint: {self.hint}"
        if not self.reveal:
            hint = "Which line causes it? The folded hint below helps."
        return "\n".join(
            # Notebooks break long lines in the middle of a word.
            textwrap.fill(text, 92, initial_indent=first, subsequent_indent="  ")
            for first, text in (("✗ ", self.symptom), ("  ", hint))
        )


class Wrong(Exception):
    """The learner's answer is wrong: what shows it, and the likely mistake."""

    def __init__(self, symptom: str, hint: str) -> None:
        super().__init__(symptom)
        self.symptom, self.hint = symptom, hint


def verdict_of(function: Callable, trials: Callable, success: str, reveal: bool = True) -> Verdict:
    """Run `trials` and turn what they raise into a verdict."""
    if not callable(function):
        return Verdict(
            WRONG,
            f"The check got {type(function).__name__}, not a function.",
            "hand over the function itself, without calling it: check_…(your_function).",
            reveal,
        )
    try:
        # The caller's gradient mode must not decide what the check finds.
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            trials()
    except Wrong as wrong:
        return Verdict(WRONG, wrong.symptom, wrong.hint, reveal)
    except Exception as error:
        # PyTorch raises NotImplementedError too, but never without a message; stubs have none.
        if type(error) is NotImplementedError and not error.args:
            return Verdict(NOT_ATTEMPTED)
        return Verdict(WRONG, f"Your code stopped with {told(error)}", hint_for(error), reveal)
    return Verdict(RIGHT, success, reveal=reveal)


def told(error: Exception) -> str:
    """An error of the learner's code in one line."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"


_ASK_YOURSELF = "call your function on torch.randn(5, 6, 3, 4) in a new cell to see where it stops."


def hint_for(error: Exception, otherwise: str = _ASK_YOURSELF) -> str:
    """What usually causes an error like this one."""
    text = str(error)
    for words, hint in _ERRORS:
        if any(word in text for word in words):
            return hint
    if isinstance(error, TypeError):
        return "keep the stub's arguments, their names and their order."
    return otherwise


_ERRORS = [
    (
        ("view size is not compatible",),
        "x does not lie in memory in the usual order (channels_last, say): use .reshape(), which "
        "copies where .view() gives up.",
    ),
    (
        ("must match the size of tensor", "not broadcastable", "must match the existing size"),
        "two shapes do not fit each other. Keep the reduced axes with keepdim=True, and give a "
        "value per channel the shape (1, C, 1, 1): gamma.view(1, -1, 1, 1).",
    ),
    (
        ("in-place operation", "inplace operation"),
        "a tensor is changed in place (-=, /=, .sub_(), …) although the gradient still needs it: "
        "make a new one.",
    ),
    (
        ("same device",),
        "wrong device: make new tensors where x lives, with device=x.device.",
    ),
    (
        ("same dtype", "expected scalar type", "dtypes to match"),
        "wrong dtype: make new tensors with dtype=x.dtype.",
    ),
    (
        ("numpy",),
        "stay with PyTorch's tensors: numpy cannot carry a gradient.",
    ),
    (
        ("positional argument", "keyword argument"),
        "keep the stub's arguments, their names and their order.",
    ),
]
