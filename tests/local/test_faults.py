"""Which calls the faults apply to, and which faults are rejected."""

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.faults import NO_FAULT, FaultOutcome, Faults


class FaultTests(SynchronousTestCase):
    """Faults, and their effect on calls."""

    def setUp(self) -> None:
        self.faults = self.seeded(1)

    def seeded(self, seed: int) -> Faults:
        return Faults({"Claim", "Register"}, Random(seed))

    def test_none(self) -> None:
        """Without faults, nothing happens to a call."""
        self.assertEqual(NO_FAULT, self.faults.apply("Claim"))

    def test_oneOperation(self) -> None:
        """A fault applies to calls of its operation only, and * to all calls."""
        self.faults.add({"operation": "Claim", "kind": "slow", "seconds": 2})
        self.assertEqual(FaultOutcome(2.0), self.faults.apply("Claim"))
        self.assertEqual(NO_FAULT, self.faults.apply("Register"))
        self.faults.add({"operation": "*", "kind": "error", "code": "ConflictException"})
        self.assertEqual(
            FaultOutcome(0.0, "error", "ConflictException"), self.faults.apply("Register")
        )

    def test_severalFaults(self) -> None:
        """Delays are added. Of several errors, the first added applies, and only it counts down."""
        self.faults.add({"operation": "*", "kind": "slow", "seconds": 2})
        self.faults.add({"operation": "Claim", "kind": "slow", "seconds": 0.5})
        self.faults.add({"operation": "*", "kind": "error", "code": "First", "count": 1})
        self.faults.add({"operation": "*", "kind": "error", "code": "Second", "count": 1})
        self.assertEqual(FaultOutcome(2.5, "error", "First"), self.faults.apply("Claim"))
        self.assertEqual(FaultOutcome(2.5, "error", "Second"), self.faults.apply("Claim"))
        self.assertEqual(FaultOutcome(2.5), self.faults.apply("Claim"))

    def test_kinds(self) -> None:
        """A throttle fault has AWS's code for throttling; drop and lost-reply have no code."""
        for kind, outcome in (
            ("throttle", FaultOutcome(0.0, "throttle", "ThrottlingException")),
            ("drop", FaultOutcome(0.0, "drop")),
            ("lost-reply", FaultOutcome(0.0, "lost-reply")),
        ):
            self.faults.add({"operation": "*", "kind": kind, "count": 1})
            self.assertEqual(outcome, self.faults.apply("Claim"))

    def test_oneKindApplies(self) -> None:
        """Of all kinds but slow, the first added applies; the others keep their counts."""
        for kind in ("drop", "throttle", "lost-reply"):
            self.faults.add({"operation": "*", "kind": kind, "count": 1})
        self.faults.add({"operation": "*", "kind": "slow", "seconds": 2})
        outcomes = [self.faults.apply("Claim") for _ in range(4)]
        self.assertEqual(["drop", "throttle", "lost-reply", None], [each.kind for each in outcomes])
        self.assertEqual([2.0] * 4, [each.seconds for each in outcomes])

    def test_countRunsOut(self) -> None:
        """A fault with a count applies to that many calls, and then ends."""
        self.faults.add({"operation": "*", "kind": "error", "code": "Busy", "count": 2})
        codes = [self.faults.apply("Claim").code for _ in range(3)]
        self.assertEqual(["Busy", "Busy", None], codes)
        self.assertEqual([], list(self.faults.active()))

    def test_probabilityIsRepeatable(self) -> None:
        """The same seed selects the same calls of a fault with a probability."""

        def selected(seed: int) -> list[bool]:
            faults = self.seeded(seed)
            fault = {"operation": "*", "kind": "error", "code": "Busy", "probability": 0.5}
            faults.add(fault)
            return [faults.apply("Claim").code is not None for _ in range(100)]

        self.assertEqual(selected(7), selected(7))
        self.assertNotEqual(selected(7), selected(8))
        self.assertTrue(20 < sum(selected(7)) < 80)

    def test_independentRandomSources(self) -> None:
        """Other faults and other operations do not change the calls that a fault applies to."""

        def selected(beside: bool) -> list[bool]:
            faults = self.seeded(7)
            faults.add({"operation": "Claim", "kind": "drop", "probability": 0.5})
            if beside:
                faults.add({"operation": "*", "kind": "slow", "seconds": 1, "probability": 0.5})
            applied = []
            for _ in range(100):
                applied.append(faults.apply("Claim").kind is not None)
                if beside:
                    faults.apply("Register")
            return applied

        self.assertEqual(selected(beside=False), selected(beside=True))

    def test_reset(self) -> None:
        """After a reset there are no faults, and new ones apply to the same calls as at first."""

        def run() -> tuple[str, list[str | None]]:
            faultId = self.faults.add({"operation": "*", "kind": "drop", "probability": 0.5})
            return faultId, [self.faults.apply("Claim").kind for _ in range(100)]

        first = run()
        self.faults.reset()
        self.assertEqual(NO_FAULT, self.faults.apply("Claim"))
        self.assertEqual(first, run())

    def test_end(self) -> None:
        """A fault can be ended by its id, or all at once."""
        first = self.faults.add({"operation": "*", "kind": "slow", "seconds": 1})
        second = self.faults.add({"operation": "*", "kind": "slow", "seconds": 2})
        self.assertNotEqual(first, second)
        self.assertTrue(self.faults.end(first))
        self.assertFalse(self.faults.end(first))
        self.assertEqual(FaultOutcome(2.0), self.faults.apply("Claim"))
        self.faults.endAll()
        self.assertEqual(NO_FAULT, self.faults.apply("Claim"))

    def test_wrongFaults(self) -> None:
        """A wrong fault is rejected with a sentence that names the field."""
        slow: dict[str, Any] = {"operation": "*", "kind": "slow", "seconds": 1}
        error: dict[str, Any] = {"operation": "*", "kind": "error", "code": "Busy"}
        for body, named in (
            ({}, "operation is null"),
            ({**slow, "operation": "Dance"}, "operation is 'Dance'"),
            ({**slow, "operation": ["*"]}, "operation is a list"),
            (
                {**slow, "kind": "explode"},
                "kind is 'explode': it must be one of slow, error, throttle, drop, lost-reply.",
            ),
            ({**slow, "kind": None}, "kind is null"),
            ({**slow, "seconds": None}, "needs seconds"),
            ({**slow, "code": "Busy"}, "Only an error fault has a code, and this is a slow"),
            (
                {**error, "seconds": 1},
                "Only a slow fault has seconds: add one in addition to this error fault.",
            ),
            ({"operation": "*", "kind": "drop", "code": "Busy"}, "and this is a drop fault"),
            ({**slow, "seconds": 0}, "seconds is 0"),
            ({**slow, "seconds": "2"}, "seconds is '2'"),
            ({**slow, "seconds": True}, "seconds is true"),
            ({**slow, "seconds": 1e9}, "seconds is 1000000000.0"),
            ({**error, "code": None}, "needs a code"),
            (
                {**error, "code": "two words"},
                "code is 'two words': it must be the name of an error, at most 100",
            ),
            ({**error, "code": 500}, "code is 500"),
            ({**error, "probability": 0}, "probability is 0"),
            ({**error, "probability": 1.1}, "probability is 1.1"),
            ({**error, "count": 0}, "count is 0"),
            ({**error, "count": 1.5}, "count is 1.5"),
            ({**error, "count": True}, "count is true"),
            ({**error, "colour": "red"}, "'colour' is not a field"),
        ):
            raised = self.assertRaises(ValueError, self.faults.add, body)
            self.assertIn(named, str(raised))
        self.assertEqual([], list(self.faults.active()))

    def test_longValues(self) -> None:
        """The sentence is short for any length of the value."""
        right: dict[str, Any] = {"operation": "*", "kind": "error", "code": "Busy"}
        for name in ("operation", "kind", "seconds", "code", "probability", "count"):
            for value in ("x" * 1_000_000, ["x" * 1_000_000]):
                raised = self.assertRaises(ValueError, self.faults.add, {**right, name: value})
                self.assertLess(len(str(raised)), 200)
        raised = self.assertRaises(ValueError, self.faults.add, {"x" * 1_000_000: 1})
        self.assertLess(len(str(raised)), 200)

    def test_codesWithDots(self) -> None:
        """A code can have dots, as some of AWS's codes do, and at most 100 characters."""
        for code in ("Client.RequestLimitExceeded", "x" * 100):
            self.faults.add({"operation": "*", "kind": "error", "code": code, "count": 1})
            self.assertEqual(code, self.faults.apply("Claim").code)
        body = {"operation": "*", "kind": "error", "code": "x" * 101}
        self.assertRaises(ValueError, self.faults.add, body)
