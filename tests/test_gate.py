"""When a game port accepts: real ports of Twisted, and one in memory."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.bucket import Bucket
from echoserver.players.descriptors import LOOK_EVERY, RESERVE, Descriptors
from echoserver.players.gate import IN_ONE_GO, Gate
from tests.doubles import MemoryEndpoint

PEER = IPv4Address("TCP", "192.0.2.7", 4242)


class Game(Factory):
    """A factory that counts whom it was asked for."""

    asked = started = 0

    def buildProtocol(self, addr: object) -> None:
        self.asked += 1

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.started -= 1


class GateTests(SynchronousTestCase):
    """A gate, and a port in memory."""

    def gate(self, rate: Bucket | None = None) -> Gate:
        """A gate that guards a port which has begun to listen."""
        self.clock = Clock()
        self.used = 100
        self.changes = 0
        self.descriptors = Descriptors(self.clock, 1024, lambda: self.used)
        self.port = MemoryEndpoint()
        self.game = Game()
        gate = Gate(self.clock, self.game, rate, self.descriptors, self.count)
        gate.doStart()
        gate.guard(self.port)
        return gate

    def count(self) -> None:
        self.changes += 1

    def test_forwards(self) -> None:
        """Without limits it is the game's factory: it starts, builds, stops; so are its words."""
        gate = self.gate()
        gate.buildProtocol(PEER)
        self.assertEqual((1, 1, "Game"), (self.game.asked, self.game.started, gate.logPrefix()))
        gate.doStop()
        self.assertEqual(0, self.game.started)

    def test_inOneGo(self) -> None:
        """The port accepts so few in one go that with 20 more they stay within the reserve."""
        gate = self.gate()
        self.assertEqual(IN_ONE_GO, self.port.numberAccepts)
        self.port.numberAccepts += 20
        gate.buildProtocol(PEER)
        self.assertEqual(IN_ONE_GO, self.port.numberAccepts)
        self.assertLess(IN_ONE_GO + 20, RESERVE)

    def test_rate(self) -> None:
        """The port pauses until there is a token, and then takes one at a time."""
        gate = self.gate(Bucket(4.0, 2.0))
        for _ in range(5):
            self.assertTrue(self.port.reading)
            gate.buildProtocol(PEER)
            self.assertTrue(self.port.reading)
            gate.buildProtocol(PEER)
            self.assertFalse(self.port.reading)
            self.clock.advance(0.25)
            self.assertTrue(self.port.reading)
            self.assertEqual(1, self.port.numberAccepts)
            self.clock.advance(0.25)
        self.assertEqual(0, self.changes)

    def test_descriptors(self) -> None:
        """Out of descriptors the port pauses, and that is told; so is that there are some again."""
        gate = self.gate()
        self.used = 1024
        gate.buildProtocol(PEER)
        self.assertEqual((False, False, 1), (gate.open, self.port.reading, self.changes))
        self.used = 100
        self.clock.advance(LOOK_EVERY)
        self.assertEqual((True, True, 2), (gate.open, self.port.reading, self.changes))

    def test_both(self) -> None:
        """Out of tokens and of descriptors, it reads on once it has both again."""
        gate = self.gate(Bucket(0.1, 1.0))
        self.used = 1024
        gate.buildProtocol(PEER)
        self.used = 100
        self.clock.advance(LOOK_EVERY)
        self.assertEqual((True, False), (gate.open, self.port.reading))
        self.clock.advance(10.0)
        self.assertTrue(self.port.reading)

    def test_stopped(self) -> None:
        """A port that has stopped is left alone; nothing is left behind."""
        gate = self.gate(Bucket(0.1, 1.0))
        self.used = 1024 - RESERVE - 16
        gate.buildProtocol(PEER)
        gate.doStop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.used = 1024
        for _ in range(16):
            self.descriptors.accepted()
        self.used = 100
        self.clock.advance(LOOK_EVERY)
        self.assertFalse(self.port.reading)
        self.assertEqual(2, self.changes)

    def test_noPause(self) -> None:
        """A port that cannot pause is one all the same."""
        gate = self.gate(Bucket(0.1, 1.0))
        gate = Gate(self.clock, self.game, Bucket(0.1, 1.0), self.descriptors, self.count)
        gate.guard(object())  # type: ignore[arg-type] # a port of another kind
        gate.buildProtocol(PEER)
        self.assertEqual(1, self.game.asked)
