"""Endpoint descriptions of the ports, and error messages for ports that cannot be bound."""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from echoserver.game.proxyheader import ProxyEndpoint, ProxyHeaderFactory

ACCEPT_QUEUE = 4096
# For each kind: the number of arguments before backlog where arguments have no names.
_KINDS = {"tcp": 2, "tcp6": 2, "ssl": 5, "child": 0}
_WRAPPER = "haproxy:"
_CHILD = "child:"


@implementer(IStreamServerEndpoint, IListeningPort)
class ChildPort:
    """A game port that this process does not bind: players connect to the child of fleetiq-wrap."""

    def __init__(self, port: int) -> None:
        self._port = port

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        return succeed(self)

    def startListening(self) -> None:
        """Do nothing: the child listens."""

    def stopListening(self) -> Deferred[None]:
        return succeed(None)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "0.0.0.0", self._port)


def endpointOf(
    reactor: Any,
    description: str,
    option: str = "listen",
    example: str = "tcp:5000",
    command: str = "fleetiq-echo",
) -> IStreamServerEndpoint:
    """
    Return the server endpoint of a description.

    @param option: the option that the description comes from.
    @raise SystemExit: with a sentence, if Twisted rejects the description.
    """
    try:
        endpoint: IStreamServerEndpoint
        if description.startswith(_CHILD):
            endpoint = ChildPort(int(description.removeprefix(_CHILD)))
        elif description.startswith(_WRAPPER):
            inner = serverFromString(_ProxyBeforeTLS(reactor), description.removeprefix(_WRAPPER))
            isTLS = isinstance(inner, SSL4ServerEndpoint)
            endpoint = inner if isTLS else ProxyEndpoint(inner)
        else:
            endpoint = serverFromString(reactor, description)
    except Exception as error:
        # Each kind of endpoint raises its own exceptions, for example OpenSSL's.
        raise SystemExit(
            f"twistd {command}: --{option} '{description}' cannot be used: {error}. Write for"
            f" example {example}."
        ) from error
    return endpoint


class _ProxyBeforeTLS:
    """
    A reactor for C{haproxy:ssl:}, whose connections begin with the PROXY header, and then TLS.

    Twisted's own C{haproxy:ssl:} expects the header inside TLS. No proxy sends it there.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        from twisted.protocols.tls import TLSMemoryBIOFactory

        tls = ProxyHeaderFactory(TLSMemoryBIOFactory(contextFactory, False, factory))
        return self._reactor.listenTCP(port, tls, backlog, interface)


def playersNotListening(error: object, command: str) -> str:
    """Return why the game port cannot be opened, and what to type."""
    why = getattr(error, "socketError", error)
    port: Any = getattr(error, "port", None)
    airPlay = " On macOS, AirPlay Receiver often uses it." if port == 5000 else ""
    free = port + 1 if port in range(1, 65535) else 5000  # a UNIX socket's port is a path
    inUse = f"{airPlay} Choose another, for example --listen tcp:{free}."
    where = f"port {port}" if isinstance(port, int) else os.fsdecode(port or "this endpoint")
    return f"twistd {command}: cannot listen for players on {where} ({why}).{advice(why, inUse)}"


def localNotListening(error: CannotListenError, command: str) -> str:
    """Return why the embedded FleetIQ's port cannot be opened, and what to type."""
    inUse = (
        f" If a local FleetIQ runs there, join it with --local"
        f" http://127.0.0.1:{error.port}; else give another port, for example"
        " --local tcp:4571:interface=127.0.0.1."
    )
    return (
        f"twistd {command}: the local FleetIQ cannot listen on port {error.port}"
        f" ({error.socketError}).{advice(error.socketError, inUse)}"
    )


def statusNotListening(error: object, command: str) -> str:
    """Return why the status port cannot be opened, and what to type."""
    why = getattr(error, "socketError", error)
    inUse = " Choose another, for example --status tcp:8081:interface=127.0.0.1."
    return f"twistd {command}: --status: cannot listen there ({why}).{advice(why, inUse)}"


def advice(why: object, inUse: str) -> str:
    """
    Return what to do about a socket's error.

    @param inUse: the advice if another process uses the port.
    """
    match getattr(why, "errno", None):
        case errno.EADDRINUSE:
            return inUse
        case errno.EACCES:
            return " Ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one."
    return " Check the endpoint description."


def descriptions(listen: str, servers: int) -> list[str]:
    """
    Return one endpoint description for each game server, on consecutive ports.

    The kinds are C{tcp:}, C{tcp6:}, C{ssl:}, and each of them after C{haproxy:}. If the description
    has no backlog, it gets an accept queue of L{ACCEPT_QUEUE} connections. Descriptions of other
    kinds are returned unchanged, for one game server only.

    @param listen: a server endpoint description. Port 0 stays 0, which is any free port.
    @raise ValueError: with a sentence, if there are no ports for that many game servers.
    """
    wrapper = _WRAPPER if listen.startswith(_WRAPPER) else ""
    kind, *words = _words(listen[len(wrapper) :])
    if kind == "stdio":
        raise ValueError("'stdio:' serves one player only: write for example tcp:5000.")
    if kind not in _KINDS:
        if servers > 1:
            raise ValueError(
                f"'{listen}' has no consecutive ports for {servers} servers:"
                " use tcp:, tcp6: or ssl:, each with or without haproxy: before it."
            )
        return [listen]
    # Twisted takes port=N, or else the first word without a name.
    named = (i for i, word in enumerate(words) if "=" not in word or word.startswith("port="))
    at = next(named, 0)
    word = words[at] if words else ""
    prefix = "port=" if word.startswith("port=") else ""
    number = word[len(prefix) :]
    first = int(number) if re.fullmatch("[0-9]{1,5}", number) else -1
    last = first + servers - 1 if first else 0
    if first < 0 or last > 65535:
        plural = f"s for {servers} servers" if servers > 1 else ""
        raise ValueError(
            f"'{listen}' has no port{plural} from 0 to 65535:"
            f" write for example {wrapper}{kind}:5000."
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
    r"""Split a description at its colons, except where a backslash escapes one."""
    return re.findall(r"((?:\\.|[^:\\])*):", description + ":")
