"""Run the kinds asked for: ``python -m common.tests.stress --commands 1000 --kills 60``.

It prints, for each kind, how many cases were tried, how many ended with a traceback, how many went
through without a word although something was wrong with them, and how many lost or changed
something that was not theirs; the exit status is 1 if there was any. ``--seed`` gives the same
cases again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from common import settings
from common.data import images
from common.experiments import benchmark, course, shipped
from common.experiments.laboratory import STUDIES
from common.tests.experiments.toy_study import TOY
from common.tests.stress.commands import commands, unknown
from common.tests.stress.folders import folders
from common.tests.stress.kills import kills
from common.tests.stress.misuses import misuses
from common.tests.stress.tally import Tally
from common.training import Acceleration

KINDS = {"commands": commands, "misuses": misuses, "folders": folders, "kills": kills}


@contextlib.contextmanager
def bounded(place: Path, name: str) -> Iterator[None]:
    """Every output in ``place``, tiny images, a study that costs nothing, and no compiling."""
    environment = {"NORMS_THREADS": "1", "NORMS_RUNS": str(place / "runs"), "OMP_NUM_THREADS": "1"}
    environment |= {"NORMS_QUICK": "0" if name == "folders" else "1"}
    environment |= {"NORMS_DATA": str(place / "data")}
    with contextlib.ExitStack() as stack:
        for module in (settings, course, shipped):
            stack.enter_context(patch.object(module, "RUNS", place / "runs"))
        if name != "kills":  # whose workers would find other images
            stack.enter_context(patch.object(images, "QUICK_TRAIN", 80))
            stack.enter_context(patch.object(images, "QUICK_TEST", 40))
        stack.enter_context(
            patch.object(benchmark, "ACCELERATIONS", (Acceleration(bfloat16=True),))
        )
        stack.enter_context(patch.dict(STUDIES, {TOY.name: TOY}))
        stack.enter_context(patch.dict(os.environ, environment))
        yield


def main() -> int:
    """Run what is asked for; the exit status is 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in KINDS:
        parser.add_argument(f"--{name}", type=int, default=0, help="how many (default: 0)")
    parser.add_argument("--seconds", type=float, default=3600, help="of each kind, default: 3600")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    options = parser.parse_args()
    well = True
    if options.commands and (new := unknown()):
        print(f"Not tried, for commands.py does not know them: {', '.join(new)}")
        well = False
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in KINDS.items():
            place = Path(folder) / name
            place.mkdir()
            if number := getattr(options, name):
                tally = Tally(name, number, options.seconds)
                with bounded(place, name), contextlib.suppress(KeyboardInterrupt):
                    kind(tally, random.Random(options.seed), place)
                well &= tally.report()
    return not well


if __name__ == "__main__":
    sys.exit(main())
