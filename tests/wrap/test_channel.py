"""Tests of L{echoserver.wrap.channel}."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from echoserver.wrap.channel import MAX_LINE, Channel, parse


class ParseTests(SynchronousTestCase):
    """Lines of a child."""

    def test_events(self) -> None:
        """An event has a text if it needs one."""
        for line, parsed in (
            (b'{"event": "ready"}', ("ready", "")),
            (b'{"event": "sessionEnded", "more": 1}', ("sessionEnded", "")),
            (b'{"event": "unhealthy"}', ("unhealthy", "")),
            (b'{"event": "unhealthy", "reason": "no map"}', ("unhealthy", "no map")),
            (b'{"event": "data", "data": "map=1"}', ("data", "map=1")),
        ):
            self.assertEqual(parsed, parse(line), line)

    def test_wrong(self) -> None:
        """Each wrong line has a sentence that says what to write."""
        for line, sentence in (
            (b"ready", "Write one JSON object a line"),
            (b"[]", "Write one JSON object a line"),
            (b"{}", "Write one JSON object a line"),
            (b"[" * 5000, "Write one JSON object a line"),
            (b"\xff", "Write one JSON object a line"),
            (b'{"event": "begin"}', "must be one of ready, sessionStarted"),
            (b'{"event": []}', "must be one of ready, sessionStarted"),
            (b'{"event": "data"}', "needs the member data"),
            (b'{"event": "unhealthy", "reason": 1}', "needs the member reason"),
        ):
            self.assertIn(sentence, str(self.assertRaises(ValueError, parse, line)), line)

    @given(st.binary(max_size=200))
    def test_anyBytes(self, line: bytes) -> None:
        """Any other bytes raise ValueError and nothing else."""
        with contextlib.suppress(ValueError):
            parse(line)


class ChannelTests(SynchronousTestCase):
    """The socket, in memory."""

    def setUp(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.channel = Channel(self.onEvent)

    def onEvent(self, event: str, text: str) -> None:
        if text == "refused":
            raise ValueError("A sentence.")
        self.events.append((event, text))

    def connect(self) -> tuple[Any, StringTransport]:
        """Connect as the child."""
        protocol: Any = self.channel.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def received(self, transport: StringTransport) -> list[Any]:
        """Return what the child has received since the last call."""
        messages = [json.loads(line) for line in transport.value().splitlines()]
        transport.clear()
        return messages

    def test_receive(self) -> None:
        """Events arrive however the stream is cut. An error is sent back."""
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"event": "rea')
        protocol.dataReceived(b'dy"}\n{"event": "data", "data": "refused"}\nnonsense\n')
        self.assertEqual([("ready", "")], self.events)
        refused, nonsense = self.received(transport)
        self.assertEqual({"error": "A sentence."}, refused)
        self.assertIn("one JSON object a line", nonsense["error"])

    def test_longLine(self) -> None:
        """A line that is too long ends the connection."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"x" * (MAX_LINE + 10))
        self.assertTrue(transport.disconnecting)
        self.assertIn("error", self.received(transport)[0])

    def test_send(self) -> None:
        """All connections receive an event. One that is made later receives it, too."""
        _, first = self.connect()
        self.channel.send("claimed", data="map=1")
        claimed = {"event": "claimed", "data": "map=1"}
        _, second = self.connect()
        self.assertEqual([claimed], self.received(first))
        self.assertEqual([claimed], self.received(second))
        self.channel.discard("claimed")
        _, third = self.connect()
        self.assertEqual([], self.received(third))

    def test_disconnect(self) -> None:
        """A connection that is lost receives nothing more."""
        protocol, transport = self.connect()
        protocol.connectionLost()
        self.channel.send("stop", seconds=5.0)
        self.assertEqual(b"", transport.value())
