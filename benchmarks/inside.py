"""
C{twistd}, which on SIGUSR1 also prints what cannot be seen from outside: how many delayed calls its
reactor has. C{python -m benchmarks.inside -n fleetiq-echo} is C{twistd -n fleetiq-echo}.
"""

from __future__ import annotations

import os
import signal

from twisted.scripts.twistd import run


def tell(_number: int, _frame: object) -> None:
    """One line, written at once: the signal may have come in the midst of another."""
    from twisted.internet import reactor

    os.write(1, b"delayed calls: %d\n" % len(reactor.getDelayedCalls()))


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    run()
