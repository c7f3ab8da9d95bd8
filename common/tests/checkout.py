"""What git has of this checkout: what a visitor gets, whatever a reader has left beside it."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

import pytest

from common.settings import ROOT


@cache
def missing() -> str:
    """What there is no checkout for, or no git to read it with; empty if both are there."""
    if not (ROOT / ".git").exists():
        return "not a git checkout: only the repository itself is checked"
    return "" if shutil.which("git") else "git is not installed"


@cache
def refusal() -> str:
    """What git says instead of reading this checkout, as it does of one that another user owns."""
    asked = subprocess.run(["git", "rev-parse", "--git-dir"], cwd=ROOT, capture_output=True)
    return asked.stderr.decode(errors="replace").strip().splitlines()[0] if asked.returncode else ""


def git(*arguments: str, sent: bytes | None = None) -> bytes:
    """The output of a git command in this checkout; skips the test where git cannot tell."""
    if reason := missing() or refusal():
        pytest.skip(reason)
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, input=sent).stdout


@cache
def committed() -> tuple[str, ...]:
    """The paths of the files that git keeps."""
    return tuple(git("ls-files", "-z").decode().strip("\0").split("\0"))


needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
