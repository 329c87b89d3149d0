"""Tests of the subcommand bots: its players, its counts, and its plots."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from echoserver.cli.botplayer import ECHO_TIMEOUT, BotPlayer
from echoserver.cli.botstats import BotStats, percentile, svgPlot, terminalPlot
from echoserver.client import CLOSE_TIMEOUT
from echoserver.gamelift.errors import CallFailed, OutOfCapacityException
from tests.clidoubles import SERVER, CommandTestCase, Endpoint
from tests.doubles import callFailed


class BotPlayerTests(SynchronousTestCase):
    """The connection of a bot."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.player = BotPlayer(self.clock)
        self.transport = StringTransport()
        self.player.makeConnection(self.transport)

    def send(self, line: bytes = b"hello\n") -> Deferred[bool]:
        return self.player.send(line)

    def counts(self) -> tuple[int, int]:
        """Return the lost and the wrong bytes."""
        return self.player.lostBytes, self.player.wrongBytes

    def test_echo(self) -> None:
        """An echo is complete when all bytes are there, however TCP splits them."""
        sent = self.send()
        self.assertEqual(self.transport.value(), b"hello\n")
        self.player.dataReceived(b"hel")
        self.assertNoResult(sent)
        self.player.dataReceived(b"lo\n")
        self.assertTrue(self.successResultOf(sent))
        self.assertEqual(self.counts(), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wrong(self) -> None:
        """Each byte that differs, or that nobody sent, is wrong."""
        self.send()
        self.player.dataReceived(b"hxllx\nyz")
        self.assertEqual(self.counts(), (0, 4))

    def test_late(self) -> None:
        """After 10 s, what did not come back is lost, and is not counted again at the end."""
        sent = self.send()
        self.player.dataReceived(b"he")
        self.clock.advance(ECHO_TIMEOUT)
        self.assertFalse(self.successResultOf(sent))
        self.player.connectionLost(connectionDone)
        self.assertEqual(self.counts(), (4, 0))

    def test_closed(self) -> None:
        """What did not come back before the end of the connection is lost."""
        sent = self.send()
        self.player.connectionLost(connectionDone)
        self.assertFalse(self.successResultOf(sent))
        self.assertEqual(self.counts(), (6, 0))
        self.assertFalse(self.successResultOf(self.send()))
        self.successResultOf(self.player.quit())
        self.assertEqual(self.counts(), (6, 0))

    def test_rejected(self) -> None:
        """A player that the game server rejects has lost nothing."""
        for text in (b"FULL\n", b"CLAIM FIRST\n"):
            self.setUp()
            self.send()
            self.player.dataReceived(text)
            self.player.connectionLost(connectionDone)
            self.assertTrue(self.player.isRejected)
            self.assertEqual(self.counts(), (0, 0))

    def test_quit(self) -> None:
        """The quit command is a line. A server that ignores it is disconnected after 3 s."""
        quitting = self.player.quit()
        self.assertEqual(self.transport.value(), b"q\n")
        self.assertNoResult(quitting)
        self.clock.advance(CLOSE_TIMEOUT)
        self.successResultOf(quitting)
        self.assertTrue(self.transport.disconnecting)


class BotsTests(CommandTestCase):
    """The subcommand, with a game server that echoes."""

    def setUp(self) -> None:
        super().setUp()
        self.connection.respond("ClaimGameServer", *[{"GameServer": SERVER}] * 9)

    def play(self, *words: str, seconds: float = 12) -> int:
        """Run C{bots}, and return the exit status."""
        running = self.start("bots", *words)
        self.clock.pump([0.05] * int(seconds / 0.05))
        return self.successResultOf(running)

    def result(self, *words: str) -> dict[str, Any]:
        """Return the result as JSON, without what differs from run to run."""
        self.status = self.play("--json", *words)
        result: dict[str, Any] = json.loads(self.out)
        return result

    def test_plays(self) -> None:
        """As many players as are named claim and play; all bytes come back."""
        result = self.result("-n", "9", "--duration", "4")
        self.assertEqual(self.status, 0)
        self.assertEqual(
            {name: result[name] for name in ("players", "seconds", "claims", "refusals")},
            {"players": 9, "seconds": 4, "claims": 9, "refusals": 0},
        )
        self.assertEqual((result["lostBytes"], result["wrongBytes"]), (0, 0))
        self.assertGreater(result["echoes"], 9)
        self.assertEqual(sum(each["echoes"] for each in result["timeline"]), result["echoes"])
        calls = [name for name, _ in self.connection.requests]
        self.assertEqual(calls.count("ClaimGameServer"), 9)

    def test_rate(self) -> None:
        """The players start one after the other."""
        running = self.start("bots", "-n", "4", "--rate", "2", "--duration", "3")
        for claims in (1, 2, 3, 4, 4):
            calls = [name for name, _ in self.connection.requests]
            self.assertEqual(calls.count("ClaimGameServer"), claims)
            self.clock.pump([0.26] * 2)
        self.clock.pump([0.05] * 100)
        self.assertEqual(self.successResultOf(running), 0)

    def test_perClaim(self) -> None:
        """Players can share a claim."""
        result = self.result("-n", "5", "--per-claim", "2", "--duration", "2")
        self.assertEqual((result["players"], result["claims"]), (5, 3))
        self.assertEqual(len(self.addresses), 5)

    def test_refused(self) -> None:
        """A refused claim is counted and retried until the end; without an echo the status is 1."""
        refused = callFailed(OutOfCapacityException)
        self.connection.respond("ClaimGameServer", refused, {"GameServer": SERVER})
        result = self.result("-n", "1", "--duration", "3")
        self.assertEqual((self.status, result["claims"], result["refusals"]), (0, 1, 1))
        self.connection.respond("ClaimGameServer", *[refused] * 9)
        result = self.result("-n", "1", "--duration", "3")
        self.assertEqual((self.status, result["claims"], result["echoes"]), (1, 0, 0))
        self.assertGreater(result["refusals"], 1)
        self.assertEqual(self.err, "No player received an echo.\n")

    def test_failures(self) -> None:
        """The first error of a call or a connection is a message."""
        denied = callFailed(CallFailed, retry=False)
        self.connection.respond("ClaimGameServer", denied, {"GameServer": SERVER})
        self.endpoint = Endpoint(error=ConnectionRefusedError())
        result = self.result("-n", "2", "--duration", "2")
        self.assertEqual((result["failedCalls"], result["connectFailures"]), (1, 1))
        self.assertTrue(self.err.startswith(f"{denied}\n"), self.err)

    def test_lost(self) -> None:
        """A lost byte gives the exit status 1."""
        self.endpoint = Endpoint(sends=b"x")
        result = self.result("-n", "1", "--duration", "2")
        self.assertEqual((self.status, result["wrongBytes"]), (1, 1))

    def test_table(self) -> None:
        """Without --json the result is a table; --svg writes the plot."""
        path = self.mktemp()
        self.assertEqual(self.play("-n", "2", "--duration", "2", "--svg", path), 0)
        rows = dict(line.rsplit(None, 1) for line in self.out.splitlines())
        self.assertEqual((rows["players"], rows["claims"], rows["lost bytes"]), ("2", "2", "0"))
        ElementTree.parse(path)
        self.assertEqual(self.play("-n", "2", "--duration", "2", "--svg", f"{path}/x"), 1)
        self.assertIn(f"Cannot write {path}/x: ", self.err)

    def test_usage(self) -> None:
        """Wrong values are rejected."""
        for words, message in (
            ("-n 0", "-n is 0: it must be a number above 0"),
            ("-n 1.5", "--players is 1.5: it must be a whole number"),
            ("-n 50 --duration 5", "50 players at 5 a second need 10 s to start"),
            ("-n 100000000 --rate 100000000", "the players need 100000100 descriptors"),
        ):
            self.assertEqual(self.run_("bots", *words.split()), 2)
            self.assertIn(f"fleetiq bots: {message}", self.err)


class StatsTests(SynchronousTestCase):
    """Percentiles and plots."""

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.floats(0, 10), min_size=1), st.sampled_from([50, 99, 100]))
    def test_percentile(self, values: list[float], percent: float) -> None:
        """At least that part of the values is not greater, and no smaller value has this."""
        found = percentile(sorted(values), percent)
        part = len(values) * percent / 100
        self.assertIn(found, values)
        self.assertGreaterEqual(sum(each <= found for each in values), part)
        self.assertLess(sum(each < found for each in values), part)

    @settings(deadline=None, max_examples=50)
    @given(
        st.lists(st.tuples(st.floats(0, 400), st.floats(0, 10)), max_size=50),
        st.floats(0.1, 400),
    )
    def test_timeline(self, echoes: list[tuple[float, float]], seconds: float) -> None:
        """Each echo is in one interval, and both plots can be drawn."""
        stats = BotStats(1, seconds, echoes=sorted(echoes))
        intervals = stats.timeline()
        self.assertEqual(sum(each.echoes for each in intervals), len(echoes))
        ElementTree.fromstring(svgPlot("<&>", intervals))
        for line in terminalPlot(intervals).splitlines()[:-2]:
            self.assertLessEqual(len(line), 12 + len(intervals))
