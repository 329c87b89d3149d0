"""AWS's quotas and rates, alone and in a local FleetIQ."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.quotas import MAX_GAME_SERVERS, MAX_GROUPS, RATES, Quotas
from echoserver.local.model.values import FleetIQError, instanceIdOf
from tests.local.fuzzing import VALID
from tests.local.inmemory import MemoryFleetIQ
from tests.local.test_api import SERVED

EPOCH = 1_700_000_000.0


class RateTests(SynchronousTestCase):
    """A bucket of tokens for each operation."""

    def setUp(self) -> None:
        self.quotas = Quotas()

    def allows(self, operation: str, now: float) -> bool:
        try:
            self.quotas.checkRate(operation, now)
        except FleetIQError as error:
            self.assertEqual(("ThrottlingException", "Rate exceeded"), (error.code, error.message))
            return False
        return True

    def allowed(self, operation: str, now: float) -> int:
        """Return how many calls are allowed at this time."""
        return sum(self.allows(operation, now) for _ in range(100))

    def test_documented(self) -> None:
        """Each operation has the burst and the rate that AWS documents."""
        for operation, burst, perTenSeconds in (
            ("UpdateGameServer", 40, 200),
            ("ListGameServers", 30, 300),
            ("CreateGameServerGroup", 20, 200),
            ("SuspendGameServerGroup", 1, 1),
        ):
            self.assertEqual(burst, self.allowed(operation, EPOCH))
            later = sum(self.allowed(operation, EPOCH + tenth / 10) for tenth in range(1, 101))
            self.assertEqual(perTenSeconds, later, operation)

    def test_allOperations(self) -> None:
        """Every operation has a rate."""
        self.assertEqual(SERVED, set(RATES))

    def test_apart(self) -> None:
        """Calls of one operation do not use the tokens of another."""
        self.allowed("ClaimGameServer", EPOCH)
        self.assertEqual(40, self.allowed("UpdateGameServer", EPOCH))

    def test_clockFarAhead(self) -> None:
        """At times so large that sums are rounded, no token is lost."""
        for now in (EPOCH * 2, EPOCH * 4, EPOCH * 8):
            self.assertEqual(40, self.allowed("UpdateGameServer", now))

    def test_clockSetBack(self) -> None:
        """After the clock is set back by years, the buckets are full."""
        self.allowed("UpdateGameServer", EPOCH)
        self.assertEqual(40, self.allowed("UpdateGameServer", EPOCH / 2))

    def test_reset(self) -> None:
        """After a reset all buckets are full."""
        self.allowed("UpdateGameServer", EPOCH)
        self.quotas.reset()
        self.assertEqual(40, self.allowed("UpdateGameServer", EPOCH))

    @settings(deadline=None, max_examples=50)
    @given(st.sampled_from(sorted(RATES)), st.lists(st.integers(0, 200), max_size=60))
    def test_model(self, operation: str, gaps: list[int]) -> None:
        """Calls at any times are allowed as in a model that counts exact tokens."""
        quotas, rate, now = Quotas(), RATES[operation], Fraction(0)
        tokens = Fraction(rate.burst)
        self.quotas = quotas
        for gap in gaps:
            now += Fraction(gap, 64)
            refilled = Fraction(gap, 64) * Fraction(str(rate.perSecond))
            tokens = min(Fraction(rate.burst), tokens + refilled)
            self.assertEqual(tokens >= 1, self.allows(operation, EPOCH + float(now)))
            tokens -= tokens >= 1


class QuotaTests(SynchronousTestCase):
    """A local FleetIQ in memory, with quotas."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ(quotas=True)

    def register(self, number: int) -> str:
        """Register a game server, within the rate. Return the error code, or OK."""
        self.fleetIQ.clock.advance(0.05)
        response = self.fleetIQ.call(
            "RegisterGameServer",
            GameServerGroupName="local",
            GameServerId=f"srv-{number}",
            InstanceId=instanceIdOf("local", 0),
        )
        code: str = response.json.get("__type", "OK")
        return code

    def test_gameServers(self) -> None:
        """A group has at most 1,000 game servers. After a deregistration, one more can register."""
        for number in range(MAX_GAME_SERVERS):
            self.assertEqual("OK", self.register(number))
        self.assertEqual("LimitExceededException", self.register(1000))
        request = {"GameServerGroupName": "local", "GameServerId": "srv-0"}
        self.fleetIQ.call("DeregisterGameServer", **request)
        self.assertEqual("OK", self.register(1000))

    def test_groups(self) -> None:
        """There can be at most 20 groups."""
        request = VALID["CreateGameServerGroup"]
        outcomes = []
        for number in range(MAX_GROUPS):
            name = {"GameServerGroupName": f"group-{number}"}
            response = self.fleetIQ.call("CreateGameServerGroup", **{**request, **name})
            outcomes.append(response.json.get("__type", "OK"))
        self.assertEqual(["OK"] * (MAX_GROUPS - 1) + ["LimitExceededException"], outcomes)
        self.assertIn("20 game server groups", response.json["Message"])

    def test_rate(self) -> None:
        """A call beyond the rate is a ThrottlingException, until the local clock advances."""
        claim = {"GameServerGroupName": "local"}
        codes = [self.fleetIQ.call("ClaimGameServer", **claim).json["__type"] for _ in range(41)]
        self.assertEqual(["OutOfCapacityException"] * 40 + ["ThrottlingException"], codes)
        response = self.fleetIQ.callInCbor("ClaimGameServer", **claim)
        self.assertEqual(400, response.status)
        self.assertEqual("Rate exceeded", response.cbor["Message"])
        self.fleetIQ.request("POST", "/_local/clock", {}, b'{"advance": 0.05}')
        response = self.fleetIQ.call("ClaimGameServer", **claim)
        self.assertEqual("OutOfCapacityException", response.json["__type"])

    def test_wrongInput(self) -> None:
        """Invalid input is an InvalidRequestException, with quotas too."""
        response = self.fleetIQ.call("RegisterGameServer", GameServerGroupName=1)
        self.assertEqual("InvalidRequestException", response.json["__type"])

    def test_off(self) -> None:
        """Without quotas there is no limit."""
        self.fleetIQ = MemoryFleetIQ()
        for number in range(MAX_GAME_SERVERS + 1):
            self.assertEqual("OK", self.register(number))
