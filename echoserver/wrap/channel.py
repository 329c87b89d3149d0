r"""
The UNIX socket between a game server and its child: one JSON object a line, in both directions.

The member C{event} of an object is its kind. The child sends C{ready}, C{sessionStarted},
C{sessionEnded}, C{healthy}, C{unhealthy} with a C{reason}, and C{data} with C{data}. It receives
C{claimed} with C{data}, C{draining} with C{seconds} and C{reason}, and C{stop} with C{seconds}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

EVENTS = ("ready", "sessionStarted", "sessionEnded", "healthy", "unhealthy", "data")
MAX_LINE = 8192


def parse(line: bytes) -> tuple[str, str]:
    """
    Return the event of a line and its text: the C{data} of data, the C{reason} of unhealthy.

    @raise ValueError: with a sentence, if the line is no event.
    """
    try:
        message = json.loads(line)
        event = message["event"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError('Write one JSON object a line, for example {"event": "ready"}.') from None
    if event not in EVENTS:
        raise ValueError(f"The event must be one of {', '.join(EVENTS)}.")
    member = {"data": "data", "unhealthy": "reason"}.get(event)
    text = message.get(member, "") if member else ""
    if not isinstance(text, str) or (event == "data" and not text):
        raise ValueError(f"The event {event} needs the member {member}, a string.")
    return event, text


class _Connection(LineOnlyReceiver):
    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    factory: Any
    transport: Any

    def connectionMade(self) -> None:
        self.factory.connected(self)

    def connectionLost(self, *_: object) -> None:
        self.factory.disconnected(self)

    def lineReceived(self, line: bytes) -> None:
        try:
            event, text = parse(line)
            self.factory.received(event, text)
        except ValueError as error:
            self.sendMessage({"error": str(error)})

    def lineLengthExceeded(self, line: bytes) -> None:
        self.sendMessage({"error": f"A line has at most {MAX_LINE} bytes."})
        self.transport.loseConnection()

    def sendMessage(self, message: dict[str, Any]) -> None:
        """Send one JSON object."""
        self.sendLine(json.dumps(message).encode("ascii"))


class Channel(Factory):
    """
    The factory of the socket. The child may connect several times, at once or one after another.

    @param onEvent: called with an event and its text. A ValueError is sent back to the child.
    """

    noisy = False
    protocol = _Connection

    def __init__(self, onEvent: Callable[[str, str], None]) -> None:
        self.received = onEvent
        self._connections: set[_Connection] = set()
        self._latest: dict[str, dict[str, Any]] = {}

    def send(self, event: str, **members: object) -> None:
        """Send an event to all connections of the child, and to each later one when it is made."""
        message = {"event": event, **members}
        self._latest[event] = message
        for connection in self._connections:
            connection.sendMessage(message)

    def discard(self, event: str) -> None:
        """Stop sending an event to new connections."""
        self._latest.pop(event, None)

    def connected(self, connection: _Connection) -> None:
        self._connections.add(connection)
        for message in self._latest.values():
            connection.sendMessage(message)

    def disconnected(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def disconnectAll(self) -> None:
        """Close all connections."""
        for connection in list(self._connections):
            connection.transport.abortConnection()
