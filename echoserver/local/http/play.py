"""The WebSocket of the page, /_local/play/<group>/<game server>: a terminal on the game port."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.web.resource import IResource, Resource

from echoserver.local.http.site import LocalRequest, Missing
from echoserver.local.model.fleet import Fleet

CONNECT_SECONDS = 5.0


def loopbackOf(connectionInfo: str | None) -> tuple[str, int]:
    """
    Return the address and port of a ConnectionInfo that is on this machine.

    @raise ValueError: It is another machine's, or has no port. The message is a sentence.
    """
    host, _, port = (connectionInfo or "").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise ValueError(f"ConnectionInfo is {connectionInfo!r}: it has no host and port.")
    address = "127.0.0.1" if host == "localhost" else host
    try:
        isLoopback = ip_address(address).is_loopback
    except ValueError:
        isLoopback = False
    if not isLoopback:
        raise ValueError(
            f"ConnectionInfo is {connectionInfo!r}: this page connects only to game servers on "
            "localhost, 127.0.0.0/8 or ::1."
        )
    return address, int(port)


class PlayControl(Resource):
    """C{/_local/play}: its grandchildren are the terminals of the game servers."""

    def __init__(self, reactor: Any, state: Fleet, seconds: Callable[[], float]) -> None:
        super().__init__()
        self._reactor = reactor
        self._state = state
        self._seconds = seconds

    def getChildWithDefault(self, path: bytes, request: LocalRequest) -> IResource:
        if len(request.postpath) != 1:
            return Missing()
        groupName, gameServerId = path.decode("latin-1"), request.postpath[0].decode("latin-1")
        request.postpath.clear()
        # wsproto takes 50 ms to import: only a page that plays needs it.
        from echoserver.local.http.terminal import Terminal, Terminals

        return Terminal(Terminals(lambda game: self._connect(groupName, gameServerId, game)))

    def render(self, request: LocalRequest) -> int:
        return Missing().render(request)

    def _connect(self, groupName: str, gameServerId: str, game: Protocol) -> Deferred[Any]:
        """
        Connect to the port of a game server that is registered here.

        @return: fails with C{ValueError} or L{FleetIQError} if the game server has no such port.
        """
        server = self._state.gameServer(groupName, gameServerId, self._seconds())
        address, port = loopbackOf(server.connectionInfo)
        endpoint = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        connecting: Deferred[Any] = connectProtocol(
            endpoint(self._reactor, address, port, CONNECT_SECONDS), game
        )
        return connecting
