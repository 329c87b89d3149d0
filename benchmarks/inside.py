"""
Run C{twistd}, and print the number of the reactor's delayed calls on SIGRTMIN.

C{python -m benchmarks.inside -n fleetiq-echo} does the same as C{twistd -n fleetiq-echo}.
"""

from __future__ import annotations

import os
import signal

from twisted.scripts.twistd import run


def printDelayedCalls(_number: int, _frame: object) -> None:
    """Write one line, unbuffered; a part of a line of the log may be before it."""
    from twisted.internet import reactor

    os.write(1, b"\ndelayed calls: %d\n" % len(reactor.getDelayedCalls()))


if __name__ == "__main__":
    signal.signal(signal.SIGRTMIN, printDelayedCalls)
    run()
