"""Endpoint descriptions of the game ports, and sentences for errors of listening."""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint


def endpointOf(
    reactor: Any,
    description: str,
    option: str = "listen",
    example: str = "tcp:5000",
    command: str = "fleetiq-echo",
) -> IStreamServerEndpoint:
    """@raise SystemExit: with a sentence, if Twisted makes nothing of the description."""
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    except Exception as error:
        # Each kind of endpoint has errors of its own: OpenSSL's, for instance.
        raise SystemExit(
            f"twistd {command}: --{option} '{description}' cannot be used: {error}. Write for"
            f" instance {example}."
        ) from error
    return endpoint


def playersNotListening(error: object, command: str) -> str:
    """Why there are no players to be had, and what to type."""
    why = getattr(error, "socketError", error)
    port: Any = getattr(error, "port", None)
    airPlay = " On macOS it is often AirPlay Receiver's." if port == 5000 else ""
    free = port + 1 if port in range(1, 65535) else 5000  # a path has none
    inUse = f"{airPlay} Choose another, for instance --listen tcp:{free}."
    where = f"port {port}" if isinstance(port, int) else os.fsdecode(port or "this endpoint")
    return f"twistd {command}: cannot listen for players on {where} ({why}).{advice(why, inUse)}"


def localNotListening(error: CannotListenError, command: str) -> str:
    """Why there is no local FleetIQ to be had, and what to type."""
    inUse = (
        f" If one runs there, join it with --local http://127.0.0.1:{error.port}; else give another"
        " port, for instance --local tcp:4571:interface=127.0.0.1."
    )
    return (
        f"twistd {command}: the local FleetIQ cannot listen on port {error.port}"
        f" ({error.socketError}).{advice(error.socketError, inUse)}"
    )


def statusNotListening(error: object, command: str) -> str:
    """Why there is no status port to be had, and what to type."""
    why = getattr(error, "socketError", error)
    inUse = " Choose another, for instance --status tcp:8081:interface=127.0.0.1."
    return f"twistd {command}: --status: cannot listen there ({why}).{advice(why, inUse)}"


def advice(why: object, inUse: str) -> str:
    """What to do about an error of a socket; C{inUse} if somebody else has the port."""
    match getattr(why, "errno", None):
        case errno.EADDRINUSE:
            return inUse
        case errno.EACCES:
            return " Ports below 1024 are for root, or for who was given them: choose a higher one."
    return " Check the endpoint description."


ACCEPT_QUEUE = 4096
# Where backlog stands when a description of the kind names no keys.
_KINDS = {"tcp": 2, "tcp6": 2, "ssl": 5}
_WRAPPER = "haproxy:"


def descriptions(listen: str, servers: int) -> list[str]:
    """
    Consecutive ports for C{tcp:}, C{tcp6:}, C{ssl:}, and C{haproxy:} before these, with an accept
    queue that takes a crowd at once unless the description says otherwise; others stay as they are.

    @param listen: a server endpoint description; port 0 is any, for each.
    @raise ValueError: with a sentence.
    """
    wrapper = _WRAPPER if listen.startswith(_WRAPPER) else ""
    kind, *words = _words(listen[len(wrapper) :])
    if kind == "stdio":
        raise ValueError("'stdio:' has one player at most: write for instance tcp:5000.")
    if kind not in _KINDS:
        if servers > 1:
            raise ValueError(
                f"'{listen}' has no consecutive ports for {servers} servers:"
                " use tcp:, tcp6: or ssl:, with haproxy: before it if you like."
            )
        return [listen]
    # As Twisted reads it: named, or else the first word that has no name.
    named = (i for i, word in enumerate(words) if "=" not in word or word.startswith("port="))
    at = next(named, 0)
    word = words[at] if words else ""
    prefix = "port=" if word.startswith("port=") else ""
    number = word[len(prefix) :]
    first = int(number) if re.fullmatch("[0-9]{1,5}", number) else -1
    last = first + servers - 1 if first else 0
    if first < 0 or last > 65535:
        whose = f"s for {servers} servers" if servers > 1 else ""
        raise ValueError(
            f"'{listen}' has no port{whose} from 0 to 65535:"
            f" write for instance {wrapper}{kind}:5000."
        )
    positional = sum("=" not in word for word in words)
    if positional <= _KINDS[kind] and not any(word.startswith("backlog=") for word in words):
        words.append(f"backlog={ACCEPT_QUEUE}")
    ports = [first + i if first else 0 for i in range(servers)]
    return [
        wrapper + ":".join([kind, *words[:at], f"{prefix}{port}", *words[at + 1 :]])
        for port in ports
    ]


def _words(description: str) -> list[str]:
    r"""Split at the colons that no backslash escapes."""
    return re.findall(r"((?:\\.|[^:\\])*):", description + ":")
