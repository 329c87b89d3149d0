"""Where to listen, from its description; and the sentences for what cannot be listened on."""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint


def endpointOf(
    reactor: Any, description: str, option: str = "listen", such: str = "tcp:5000"
) -> IStreamServerEndpoint:
    """@raise SystemExit: with a sentence, if Twisted makes nothing of the description."""
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    except Exception as error:
        # Each kind of endpoint has errors of its own: OpenSSL's, for instance.
        raise SystemExit(
            f"twistd fleetiq-echo: --{option} '{description}' cannot be used: {error}. Write for"
            f" instance {such}."
        ) from error
    return endpoint


def playersNotListening(error: object) -> str:
    """Why there are no players to be had, and what to type."""
    why = getattr(error, "socketError", error)
    port: Any = getattr(error, "port", None)
    airPlay = " On macOS it is often AirPlay Receiver's." if port == 5000 else ""
    free = port + 1 if port in range(1, 65535) else 5000  # a path has none
    inUse = f"{airPlay} Choose another, for instance --listen tcp:{free}."
    where = f"port {port}" if isinstance(port, int) else os.fsdecode(port or "this endpoint")
    return f"twistd fleetiq-echo: cannot listen for players on {where} ({why}).{advice(why, inUse)}"


def localNotListening(error: CannotListenError) -> str:
    """Why there is no local FleetIQ to be had, and what to type."""
    inUse = (
        f" If one runs there, join it with --local http://127.0.0.1:{error.port}; else give another"
        " port, for instance --local tcp:4571:interface=127.0.0.1."
    )
    return (
        f"twistd fleetiq-echo: the local FleetIQ cannot listen on port {error.port}"
        f" ({error.socketError}).{advice(error.socketError, inUse)}"
    )


def statusNotListening(error: object) -> str:
    """Why there is no status port to be had, and what to type."""
    why = getattr(error, "socketError", error)
    inUse = " Choose another, for instance --status tcp:8081:interface=127.0.0.1."
    return f"twistd fleetiq-echo: --status: cannot listen there ({why}).{advice(why, inUse)}"


def advice(why: object, inUse: str) -> str:
    """What to do about an error of a socket; C{inUse} if somebody else has the port."""
    match getattr(why, "errno", None):
        case errno.EADDRINUSE:
            return inUse
        case errno.EACCES:
            return " Ports below 1024 are for root, or for who was given them: choose a higher one."
    return " Check the endpoint description."
