"""The start of the C{fleetiq} command: SIGINT ends it without a traceback, also during imports."""

import signal

# An inherited SIG_IGN stays, as in a background job of sh.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from echoserver.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
