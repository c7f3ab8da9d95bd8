"""What a check finds, and how a notebook shows it."""

from __future__ import annotations

import html
import sys
import textwrap
from dataclasses import dataclass, field
from typing import Any

RIGHT, WRONG, NOT_ATTEMPTED = "right", "wrong", "not attempted yet"

# Border only: the text keeps the colours of the reader's theme, light or dark.
_COLOURS = {RIGHT: "#2e9e5b", WRONG: "#d1495b", NOT_ATTEMPTED: "#8a8f98"}


class Wrong(Exception):
    """The learner's answer is wrong: what shows it, and the likely mistake.

    line: the learner's line that failed, quoted with its number, where there is one.
    """

    def __init__(self, symptom: str, hint: str, line: str = "") -> None:
        super().__init__(symptom)
        self.symptom, self.hint, self.line = symptom, hint, line


@dataclass(frozen=True)
class Verdict:
    """What a check found; `bool(verdict)` says whether the answer is right.

    state: "right", "wrong" or "not attempted yet". symptom: what is wrong, in numbers where there
    are any. hint: the likely mistake. reveal: whether the message tells the hint; where finding
    the mistake is the exercise, it does not. line: the learner's line that failed, if one did.
    """

    state: str
    symptom: str = ""
    hint: str = ""
    reveal: bool = True
    line: str = ""
    _shown_in: list[int] = field(default_factory=list, compare=False)

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.state == RIGHT

    @property
    def attempted(self) -> bool:
        """Whether there is an answer at all."""
        return self.state != NOT_ATTEMPTED

    def __bool__(self) -> bool:
        return self.right

    @property
    def _headline(self) -> str:
        if not self.attempted:
            return "○ Not attempted yet."
        return f"{'✓' if self.right else '✗'} {self.symptom}"

    @property
    def _help(self) -> str:
        if self.state != WRONG:
            return ""
        if not self.reveal:
            return "Which line causes it? The folded hint helps."
        return f"Hint: {self.hint}"

    def __repr__(self) -> str:
        # Notebooks break long lines in the middle of a word; a line of code stays as it is.
        lines = [_filled(self._headline, "")]
        if self.line:
            lines.append(f"  {self.line}")
        if self._help:
            lines.append(_filled(self._help, "  "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        style = (
            f"border-left: 0.3em solid {_COLOURS[self.state]}; padding: 0.3em 0.8em; "
            "margin: 0.3em 0; max-width: 60em;"
        )
        sign, _, words = self._headline.partition(" ")
        parts = [f"<div><b>{sign}</b> {html.escape(words)}</div>"]
        if self.line:
            # Without its own background, a theme's white one would hide a dark theme's text.
            code = "background: none; color: inherit; margin: 0.3em 0; white-space: pre-wrap;"
            parts.append(f'<pre style="{code}">{html.escape(self.line)}</pre>')
        if self._help:
            parts.append(f"<div>{html.escape(self._help)}</div>")
        return f'<div role="status" style="{style}">{"".join(parts)}</div>'

    def show(self) -> Verdict:
        """Show it in the notebook now, wherever in its cell the check stands; elsewhere nothing."""
        shell = _notebook()
        if shell is not None:
            self._shown_in[:] = [shell.execution_count]
            shell.display_pub.publish(
                {"text/plain": repr(self), "text/html": self._repr_html_()}, {}
            )
        return self

    def _ipython_display_(self) -> None:
        # As a cell's last line, a check's verdict has been shown already.
        shell = _notebook()
        if shell is None or self._shown_in != [shell.execution_count]:
            self.show()


def _filled(text: str, indent: str) -> str:
    return textwrap.fill(text, 92, initial_indent=indent, subsequent_indent="  ")


def _notebook() -> Any:
    # Whoever runs in IPython has imported it; nobody else should wait for it.
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
