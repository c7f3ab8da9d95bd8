"""What a lesson's first cell does once it has found the course: the lesson's own modules, always.

The cell runs this file by its path, before anything of the course is imported.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

EDITION = 3  # of lessons and common together: raise it when one needs the other's newer version


def enter(lesson: str, edition: int) -> None:
    """Work in the lesson's folder, with its ``model`` and ``utils`` and this course's ``common``.

    ``common`` has notebooks, too, but no ``model`` and ``utils`` of its own. Modules of these names
    that came from elsewhere are forgotten: another lesson may have been opened in the same kernel,
    and what a start-up file imports may be called ``utils``. Ends the cell with one sentence if the
    notebook belongs to another ``edition`` of the course.
    """
    root = Path(__file__).resolve().parent.parent
    if edition != EDITION:
        sys.exit(
            f"This notebook and the course in {root} are of different editions. Get the newer one "
            "of both: git pull there, or delete that folder and run this cell again."
        )
    here, common = root / lesson, root / "common"
    own = {"common": common}
    if here != common:
        own |= {"model": here, "utils": here}
    for name, module in list(sys.modules.items()):
        if folder := own.get(name.partition(".")[0]):
            file = getattr(module, "__file__", None)
            if not file or folder not in Path(file).resolve().parents:
                del sys.modules[name]
    # Not common's own folder: its rooms would pass for modules called data or norms.
    first = [str(folder) for folder in (here, root) if folder != common]
    sys.path[:] = dict.fromkeys([*first, *sys.path])
    os.chdir(here)
