"""The terminal of the page: a WebSocket on the port of a game server."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Request, TextMessage

from echoserver.local.http.play import loopbackOf
from echoserver.local.model.values import instanceIdOf
from tests.local.inmemory import MemoryFleetIQ

PATH = "/_local/play/local/srv-1"


class LoopbackTests(SynchronousTestCase):
    """L{loopbackOf}"""

    def test_loopback(self) -> None:
        """Addresses of this machine are accepted."""
        for info, expected in (
            ("localhost:5000", ("127.0.0.1", 5000)),
            ("127.0.0.1:5000", ("127.0.0.1", 5000)),
            ("127.9.9.9:1", ("127.9.9.9", 1)),
            ("[::1]:65535", ("::1", 65535)),
        ):
            self.assertEqual(expected, loopbackOf(info))

    def test_others(self) -> None:
        """Other machines, names, and what is no address at all are rejected."""
        for info in (
            None, "", "localhost", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "10.0.0.1:80",
            "192.168.1.1:80", "169.254.169.254:80", "example.com:80", "localhost.evil.example:80",
            "0.0.0.0:80", "[::]:80", "2130706433:80", "127.1:80", ":80", "127.0.0.1:٣",
        ):  # fmt: skip
            self.assertRaises(ValueError, loopbackOf, info)


class PlayTests(SynchronousTestCase):
    """C{/_local/play/<group>/<game server>}"""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()
        self.socket = WSConnection(ConnectionType.CLIENT)

    def register(self, connectionInfo: str = "localhost:5000") -> None:
        self.fleetIQ.call(
            "RegisterGameServer",
            GameServerGroupName="local",
            GameServerId="srv-1",
            InstanceId=instanceIdOf("local", 0),
            ConnectionInfo=connectionInfo,
        )

    def open(self, path: str = PATH) -> None:
        self.connection = self.fleetIQ.connect()
        self.connection.send(self.socket.send(Request("127.0.0.1:4570", path)))

    def received(self) -> list[Any]:
        """Return what the page receives: objects for text, bytes for binary messages."""
        self.socket.receive_data(self.connection.transport.value())
        self.connection.transport.clear()
        messages: list[Any] = []
        for event in self.socket.events():
            if isinstance(event, TextMessage):
                messages.append(json.loads(event.data))
            elif isinstance(event, BytesMessage):
                messages.append(bytes(event.data))
            elif isinstance(event, CloseConnection):
                messages.append("close")
        return messages

    @property
    def producer(self) -> Any:
        """What the connection of the page can pause."""
        return self.connection.transport.producer

    def accept(self) -> StringTransportWithDisconnection:
        """Accept the connection to the game server, and return its transport."""
        host, port, factory, *_ = self.fleetIQ.clock.tcpClients[-1]
        self.assertEqual(("127.0.0.1", 5000), (host, port))
        game: Any = factory.buildProtocol(self.connection.transport.getPeer())
        transport = StringTransportWithDisconnection()
        transport.protocol = game
        game.makeConnection(transport)
        return transport

    def test_bothWays(self) -> None:
        """Lines of the page go to the game server; what it sends goes to the page."""
        self.register()
        self.open()
        game = self.accept()
        self.assertEqual([{"event": "connected", "sentence": None}], self.received())
        self.connection.send(self.socket.send(TextMessage("hello\n")))
        self.assertEqual(b"hello\n", game.value())
        game.protocol.dataReceived(b"\xffhello\n")
        self.assertEqual([b"\xffhello\n"], self.received())

    def test_gameCloses(self) -> None:
        """If the game server closes its connection, so does the WebSocket."""
        self.register()
        self.open()
        game = self.accept()
        game.loseConnection()
        self.assertEqual(
            [
                {"event": "connected", "sentence": None},
                {"event": "closed", "sentence": None},
                "close",
            ],
            self.received(),
        )
        self.assertTrue(self.connection.closed)

    def test_pageCloses(self) -> None:
        """If the page closes, the connection to the game server is closed."""
        self.register()
        self.open()
        game = self.accept()
        self.received()
        self.connection.send(self.socket.send(CloseConnection(1000)))
        self.assertFalse(game.connected)

    def test_pageClosesFirst(self) -> None:
        """If the page closes before the game server accepts, the connection is closed then."""
        self.register()
        self.open()
        self.connection.disconnect()
        self.assertFalse(self.accept().connected)

    def test_backPressure(self) -> None:
        """While the page does not read, neither is the game server read."""
        self.register()
        self.open()
        game = self.accept()
        self.producer.pauseProducing()
        self.assertEqual("paused", game.producerState)
        self.producer.resumeProducing()
        self.assertEqual("producing", game.producerState)

    def test_notRegistered(self) -> None:
        """Only game servers that are registered here are connected."""
        self.open()
        [failed, closed] = self.received()
        self.assertEqual(("failed", "close"), (failed["event"], closed))
        self.assertIn("not registered", failed["sentence"])
        self.assertEqual([], self.fleetIQ.clock.tcpClients)

    def test_otherMachine(self) -> None:
        """A game server on another machine is not connected."""
        self.register("10.0.0.1:5000")
        self.open()
        [failed, closed] = self.received()
        self.assertEqual("close", closed)
        self.assertIn("only to game servers on localhost", failed["sentence"])
        self.assertEqual([], self.fleetIQ.clock.tcpClients)

    def test_noHandshake(self) -> None:
        """A plain request and a wrong handshake are rejected."""
        for headers, status in (
            ({}, 426),
            ({"Upgrade": "websocket", "Connection": "Upgrade"}, 400),
        ):
            self.assertEqual(status, self.fleetIQ.request("GET", PATH, headers).status)
        for path in ("/_local/play", "/_local/play/local", f"{PATH}/more"):
            self.assertEqual(404, self.fleetIQ.request("GET", path).status)

    def test_stop(self) -> None:
        """The terminals close when the local FleetIQ stops, which waits for them."""
        self.register()
        self.open()
        game = self.accept()
        stopped = self.fleetIQ.service.stopService()
        self.fleetIQ.clock.advance(2)
        self.successResultOf(stopped)
        self.assertFalse(game.connected)
