"""Break the course on purpose, many times, and count what went silently wrong.

    python -m common.tests.stress --commands 1000 --misuses 1000 --folders 120 --kills 60

Not a part of the test suite: it takes minutes. ``commands.py`` tries command lines, ``misuses.py``
calls with something wrong, ``folders.py`` odd folders of pictures, ``kills.py`` commands ended at
any moment. All of it is written to one temporary folder.
"""
