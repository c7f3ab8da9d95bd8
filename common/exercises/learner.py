"""The learner's code, run with care: its prints, its time, its errors and their lines."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import signal
import sysconfig
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from common.exercises.errors import hint_for
from common.exercises.verdict import NOT_ATTEMPTED, RIGHT, WRONG, Verdict, Wrong

LIMIT = 10.0  # seconds a single call may take
ON = "a small network"  # what scripts are tried on that do not say more


class TooSlow(BaseException):
    """A call of the learner's code took too long. No `except Exception` of theirs may catch it."""


class Learner:
    """The learner's function or class. What it prints and warns of is seen once, not every time."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.on = ON  # what it was called with last, in words
        self._seen: set[str] = set()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it: a function gives its result, a class an object."""
        with self.care("call"):
            return self.answer(*arguments, **keywords)

    @contextlib.contextmanager
    def care(self, what: str) -> Iterator[None]:
        """Run the block within the time limit, silently unless it is the first of its kind."""
        with contextlib.ExitStack() as stack:
            if what in self._seen:
                silence = io.StringIO()
                stack.enter_context(contextlib.redirect_stdout(silence))
                stack.enter_context(contextlib.redirect_stderr(silence))
                stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._seen.add(what)
            stack.enter_context(_time_limit(LIMIT))
            yield


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlow after some seconds, where the platform can and the alarm is not in use."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
        or signal.getitimer(signal.ITIMER_REAL)[0]
    ):
        yield
        return

    def stop(*_: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    # Again every second: a bare `except:` in a loop would catch the first alarm.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(
    answer: Any,
    trials: Callable[[Learner], None],
    success: str,
    hints: Callable[[Exception, str], str],
    planted: str = "",
) -> Verdict:
    """Run `trials` on the learner's answer, turn what they raise into a verdict, and show it.

    hints: gives the hint for (an error of the learner's code, the line it comes from). planted:
    words of the hint for the mistake that the exercise is to find; that hint stays hidden.
    """
    if not callable(answer):
        return Verdict(
            WRONG,
            f"The check got {_a(type(answer).__name__)}, not a function.",
            "hand over the function itself, without calling it: check_…(your_function).",
        ).show()
    try:
        with _usual_settings():
            trials(Learner(answer))
    except Wrong as wrong:
        reveal = not (planted and planted in wrong.hint)
        verdict = Verdict(WRONG, wrong.symptom, wrong.hint, reveal, wrong.line)
    except TooSlow as error:
        verdict = Verdict(
            WRONG,
            f"Your code was stopped: it took more than {LIMIT:g} seconds.",
            "does a loop never end? If it is only long: whole tensors instead of single values.",
            line=line_of(error),
        )
    except NotImplementedError as error:
        verdict = _of_a_stub(error, hints)
    except (Exception, SystemExit) as error:  # exit() in an answer is no end of the notebook
        verdict = _of_an_error(error, hints)
    else:
        verdict = Verdict(RIGHT, success)
    return verdict.show()


def treat(
    answer: Any, trials: Callable[[Learner], None], success: str, planted: str = ""
) -> Verdict:
    """Judge a function by what it does to a small network or a few images.

    planted: as for `judge`.
    """
    learners: list[Learner] = []

    def seeded(learner: Learner) -> None:
        learners.append(learner)
        # Of the CPU alone: that is where the networks are.
        torch.default_generator.manual_seed(0)
        trials(learner)

    def hint(error: Exception, line: str) -> str:
        on = learners[-1].on
        usual = hint_for(error, line, "network", f"try your function on {on} in a new cell")
        # A list of inputs is gone through, and it may be one alone that leads to an error.
        return usual if on in usual or on == ON else f"{usual} It got {on}."

    return judge(answer, seeded, success, hint, planted)


@contextlib.contextmanager
def _usual_settings() -> Iterator[None]:
    """The caller's modes must not decide what a check finds, nor a check what comes after it."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng([]), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


def _of_an_error(error: Exception | SystemExit, hints: Callable[[Exception, str], str]) -> Verdict:
    line = line_of(error)
    return Verdict(WRONG, f"Your code stopped with {told(error)}", hints(error, line), line=line)


def _of_a_stub(error: NotImplementedError, hints: Callable[[Exception, str], str]) -> Verdict:
    """Nothing there but the stub's `raise`, or one that finished code has forgotten."""
    # PyTorch raises NotImplementedError too, but never without a message; stubs have none.
    if error.args:
        return _of_an_error(error, hints)
    if not _has_code(error):
        return Verdict(NOT_ATTEMPTED)
    return Verdict(
        WRONG,
        "Your code is there, but it runs into the stub's raise NotImplementedError.",
        "delete that line, and see that every path ends in a return.",
        line=line_of(error),
    )


def _has_code(error: BaseException) -> bool:
    """Whether the function that raised the error holds more than a stub does."""
    frames = [f for f, _ in traceback.walk_tb(error.__traceback__) if _is_learners(_file(f))]
    return bool(frames) and not is_stub(frames[-1].f_code)


def is_stub(function: Any) -> bool:
    """Whether a function, or its code object, holds nothing; True where its source is unknown."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return True
    definition = tree.body[0]
    if not isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    return all(_is_empty(statement) for statement in definition.body)


def _is_empty(statement: ast.stmt) -> bool:
    text = ast.unparse(statement)
    return (
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        or text.startswith(("raise NotImplementedError", "super().__init__", "super("))
    )


def _file(frame: Any) -> str:
    return frame.f_code.co_filename


_NOT_LEARNERS = (
    str(Path(__file__).parent),
    str(Path(torch.__file__).parent),
    sysconfig.get_paths()["stdlib"],
    sysconfig.get_paths()["purelib"],
    "<frozen",
)


def _is_learners(filename: str) -> bool:
    return not filename.startswith(_NOT_LEARNERS)


def _frame_of(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost frame of an error that is the learner's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_learners(f.filename)]
    return frames[-1] if frames else None


def line_of(error: BaseException) -> str:
    """The learner's line that an error comes from, quoted with its number; "" if there is none."""
    frame = _frame_of(error)
    if frame is None:
        return ""
    # A cell's code has a file name, but no file.
    path = Path(frame.filename)
    where = f" of {path.name if path.is_file() else 'the cell'}"
    return (
        f"Line {frame.lineno}{where}: {frame.line}"
        if frame.line
        else f"Line {frame.lineno}{where}."
    )


def told(error: BaseException) -> str:
    """An error of the learner's code in a sentence: PyTorch's have several lines at times."""
    message = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {textwrap.shorten(message, 600, placeholder=' …')}"


def _a(name: str) -> str:
    """A type's name with its article."""
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"
