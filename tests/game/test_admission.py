"""Whether a claim sent the player: who asks, who shares the answer, and how long it holds."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.game.admission import ANSWER_WITHIN, NO_HOLDS, Admission
from tests.awsdoubles import told
from tests.doubles import callFailed


class AdmissionTests(SynchronousTestCase):
    """Against a FleetIQ that answers when it is told to."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Deferred[bool]] = []
        self.admission = Admission(self.clock, self.ask)

    def tearDown(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())

    def ask(self) -> Deferred[bool]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def test_yes(self) -> None:
        """Who was sent hears so; the next one is asked about anew."""
        for _ in range(2):
            knocked = self.admission.knock()
            self.assertNoResult(knocked)
            self.asked[-1].callback(True)
            self.assertTrue(self.successResultOf(knocked))
        self.assertEqual(2, len(self.asked))

    def test_oneAnswer(self) -> None:
        """Who knocks together shares one answer, in the order they knocked in."""
        heard: list[str] = []
        for name in ("first", "second", "third"):
            knocked = self.admission.knock()
            knocked.addCallback(lambda _, name: heard.append(name), name)
        self.assertEqual(1, len(self.asked))
        self.asked[0].callback(True)
        self.assertEqual(["first", "second", "third"], heard)

    def test_noHolds(self) -> None:
        """A no holds for a second, without a call."""
        knocked = self.admission.knock()
        self.asked[0].callback(False)
        self.assertFalse(self.successResultOf(knocked))
        self.clock.advance(NO_HOLDS - 0.1)
        self.assertFalse(self.successResultOf(self.admission.knock()))
        self.assertEqual(1, len(self.asked))
        self.clock.advance(0.1)
        knocked = self.admission.knock()
        self.asked[1].callback(True)
        self.assertTrue(self.successResultOf(knocked))

    def test_silence(self) -> None:
        """No answer in 5 s is a no; what comes later is nobody's."""
        knocked = self.admission.knock()
        with capturedLogs() as events:
            self.clock.advance(ANSWER_WITHIN)
        self.assertFalse(self.successResultOf(knocked))
        [line] = told(events)
        self.assertTrue(line.endswith(" who may come: nothing within 5 s"), line)
        self.asked[0].callback(True)

    def test_failure(self) -> None:
        """A call that fails is a no, and why is logged."""
        knocked = self.admission.knock()
        with capturedLogs() as events:
            self.asked[0].errback(callFailed())
        self.assertFalse(self.successResultOf(knocked))
        self.assertIn("AnOperation was refused", str(events[0]["why"]))
