"""Which call fails, and which orders are refused."""

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.faults import UNHARMED, Fate, Faults


class FaultTests(SynchronousTestCase):
    """Orders and what they do to calls."""

    def setUp(self) -> None:
        self.faults = self.seeded(1)

    def seeded(self, seed: int) -> Faults:
        return Faults({"Claim", "Register"}, Random(seed))

    def test_none(self) -> None:
        """Without an order calls are unharmed."""
        self.assertEqual(UNHARMED, self.faults.fateOf("Claim"))

    def test_oneOperation(self) -> None:
        """An order strikes its operation alone, and * strikes them all."""
        self.faults.add({"operation": "Claim", "kind": "slow", "seconds": 2})
        self.assertEqual(Fate(2.0), self.faults.fateOf("Claim"))
        self.assertEqual(UNHARMED, self.faults.fateOf("Register"))
        self.faults.add({"operation": "*", "kind": "error", "code": "ConflictException"})
        self.assertEqual(Fate(0.0, "error", "ConflictException"), self.faults.fateOf("Register"))

    def test_ordersAddUp(self) -> None:
        """Waits are summed; of several errors the first ordered is answered and counts."""
        self.faults.add({"operation": "*", "kind": "slow", "seconds": 2})
        self.faults.add({"operation": "Claim", "kind": "slow", "seconds": 0.5})
        self.faults.add({"operation": "*", "kind": "error", "code": "First", "count": 1})
        self.faults.add({"operation": "*", "kind": "error", "code": "Second", "count": 1})
        self.assertEqual(Fate(2.5, "error", "First"), self.faults.fateOf("Claim"))
        self.assertEqual(Fate(2.5, "error", "Second"), self.faults.fateOf("Claim"))
        self.assertEqual(Fate(2.5), self.faults.fateOf("Claim"))

    def test_kinds(self) -> None:
        """A throttle is AWS's code for it; drop and lost-reply have none."""
        for kind, fate in (
            ("throttle", Fate(0.0, "throttle", "ThrottlingException")),
            ("drop", Fate(0.0, "drop")),
            ("lost-reply", Fate(0.0, "lost-reply")),
        ):
            self.faults.add({"operation": "*", "kind": kind, "count": 1})
            self.assertEqual(fate, self.faults.fateOf("Claim"))

    def test_oneKindDecides(self) -> None:
        """Of all kinds but slow one decides, the first ordered; the others keep their counts."""
        for kind in ("drop", "throttle", "lost-reply"):
            self.faults.add({"operation": "*", "kind": kind, "count": 1})
        self.faults.add({"operation": "*", "kind": "slow", "seconds": 2})
        kinds = [self.faults.fateOf("Claim") for _ in range(4)]
        self.assertEqual(["drop", "throttle", "lost-reply", None], [fate.kind for fate in kinds])
        self.assertEqual([2.0] * 4, [fate.seconds for fate in kinds])

    def test_countRunsOut(self) -> None:
        """An order with a count strikes that many calls, and is gone then."""
        self.faults.add({"operation": "*", "kind": "error", "code": "Busy", "count": 2})
        codes = [self.faults.fateOf("Claim").code for _ in range(3)]
        self.assertEqual(["Busy", "Busy", None], codes)
        self.assertEqual([], list(self.faults.orders()))

    def test_probabilityIsRepeatable(self) -> None:
        """With a probability some calls are struck, the same ones with the same seed."""

        def struck(seed: int) -> list[bool]:
            faults = self.seeded(seed)
            order = {"operation": "*", "kind": "error", "code": "Busy", "probability": 0.5}
            faults.add(order)
            return [faults.fateOf("Claim").code is not None for _ in range(100)]

        self.assertEqual(struck(7), struck(7))
        self.assertNotEqual(struck(7), struck(8))
        self.assertTrue(20 < sum(struck(7)) < 80)

    def test_ordersHaveDiceOfTheirOwn(self) -> None:
        """Which calls an order strikes depends on no other order, and on no other operation."""

        def struck(beside: bool) -> list[bool]:
            faults = self.seeded(7)
            faults.add({"operation": "Claim", "kind": "drop", "probability": 0.5})
            if beside:
                faults.add({"operation": "*", "kind": "slow", "seconds": 1, "probability": 0.5})
            fates = []
            for _ in range(100):
                fates.append(faults.fateOf("Claim").kind is not None)
                if beside:
                    faults.fateOf("Register")
            return fates

        self.assertEqual(struck(beside=False), struck(beside=True))

    def test_reset(self) -> None:
        """After a reset there are no orders, and those to come strike as they did before."""

        def run() -> tuple[str, list[str | None]]:
            faultId = self.faults.add({"operation": "*", "kind": "drop", "probability": 0.5})
            return faultId, [self.faults.fateOf("Claim").kind for _ in range(100)]

        first = run()
        self.faults.reset()
        self.assertEqual(UNHARMED, self.faults.fateOf("Claim"))
        self.assertEqual(first, run())

    def test_end(self) -> None:
        """Faults end one by one by their id, or all."""
        first = self.faults.add({"operation": "*", "kind": "slow", "seconds": 1})
        second = self.faults.add({"operation": "*", "kind": "slow", "seconds": 2})
        self.assertNotEqual(first, second)
        self.assertTrue(self.faults.end(first))
        self.assertFalse(self.faults.end(first))
        self.assertEqual(Fate(2.0), self.faults.fateOf("Claim"))
        self.faults.endAll()
        self.assertEqual(UNHARMED, self.faults.fateOf("Claim"))

    def test_wrongOrders(self) -> None:
        """An order that cannot be carried out is refused, with a sentence that names the field."""
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
            ({**error, "seconds": 1}, "Only a slow fault has seconds: order one beside this er"),
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
            refusal = self.assertRaises(ValueError, self.faults.add, body)
            self.assertIn(named, str(refusal))
        self.assertEqual([], list(self.faults.orders()))

    def test_longValues(self) -> None:
        """However much was sent, the sentence is short."""
        right: dict[str, Any] = {"operation": "*", "kind": "error", "code": "Busy"}
        for name in ("operation", "kind", "seconds", "code", "probability", "count"):
            for value in ("x" * 1_000_000, ["x" * 1_000_000]):
                refusal = self.assertRaises(ValueError, self.faults.add, {**right, name: value})
                self.assertLess(len(str(refusal)), 200)
        refusal = self.assertRaises(ValueError, self.faults.add, {"x" * 1_000_000: 1})
        self.assertLess(len(str(refusal)), 200)

    def test_codesWithDots(self) -> None:
        """A code may have dots, as some of AWS's have, and up to 100 characters."""
        for code in ("Client.RequestLimitExceeded", "x" * 100):
            self.faults.add({"operation": "*", "kind": "error", "code": code, "count": 1})
            self.assertEqual(code, self.faults.fateOf("Claim").code)
        body = {"operation": "*", "kind": "error", "code": "x" * 101}
        self.assertRaises(ValueError, self.faults.add, body)
