"""The endpoint C{child:PORT}: a port that another process listens on."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IStreamServerEndpoint, IListeningPort)
class ChildPort:
    """A game port that this process does not bind: players connect to the child directly."""

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


@implementer(IPlugin, IStreamServerEndpointStringParser)
class ChildPortParser:
    """The plugin that makes the endpoint of C{child:PORT}."""

    prefix = "child"

    def parseStreamServer(self, reactor: Any, port: str) -> ChildPort:  # type: ignore[override] # its own arguments
        return ChildPort(int(port))
