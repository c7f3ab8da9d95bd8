"""``python -m common``: see ``common.cli``."""

from common.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
