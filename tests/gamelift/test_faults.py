"""Tests of the registration with the real boto3, and faults of the local FleetIQ."""

from __future__ import annotations

from threading import Event

from botocore.config import Config
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echoserver.clock import WallClock
from echoserver.gamelift.client import Client
from echoserver.gamelift.degraded import Degraded
from echoserver.gamelift.lifecycle import Absent, Available, Desired, Known, Utilized, Wanted
from echoserver.gamelift.registration import Registration
from echoserver.gamelift.service import FleetIQ, RegistrationRequest
from echoserver.local.testing import RunningFleetIQ
from echoserver.ratelimit import RateLimiter
from tests.awsdoubles import gameLiftWith, localSession, logLines
from tests.doubles import LongRandom

REGISTER, UPDATE, DEREGISTER = "RegisterGameServer", "UpdateGameServer", "DeregisterGameServer"
DESCRIBE = "DescribeGameServer"


class FaultsTestCase(SynchronousTestCase):
    """One local FleetIQ, and one registration whose calls end before they return."""

    def setUp(self) -> None:
        self.fleet = RunningFleetIQ()
        self.addCleanup(self.fleet.stop)
        self.client = self.clientOf(self.fleet.endpointUrl)
        self.clock = Clock()
        self.refusals: list[str] = []

    def clientOf(self, url: str) -> Client:
        """Return a client with short timeouts."""
        config = Config(
            connect_timeout=1, read_timeout=0.3, retries={"total_max_attempts": 1}, proxies={}
        )
        return localSession().client("gamelift", endpoint_url=url, config=config)

    def start(self) -> Registration:
        """Start a registration whose desired state is AVAILABLE."""
        self.registration = Registration(
            self.clock,
            LongRandom(7),
            FleetIQ(gameLiftWith(self.client), "local"),
            RegistrationRequest(self.fleet.instanceIds[0], "localhost:5000", 5000),
            limiter=RateLimiter(self.clock),
            degraded=Degraded(self.clock, WallClock(self.clock)),
            heartbeat=60.0,
            listener=self,
        )
        self.change(Available())
        self.running = self.registration.run()
        return self.registration

    def registered(self) -> None:
        """Ignore the first confirmation."""

    def refused(self, message: str) -> bool:
        """End the registration, as a process that was never registered."""
        self.refusals.append(message)
        return True

    def sessionConfirmed(self, data: str) -> None:
        """Ignore the claim."""

    def claimChanged(self, claimed: bool, data: str) -> None:
        """Ignore the claim."""

    def change(self, wanted: Wanted | None) -> None:
        """Change the desired state; None is absent for good."""
        final = wanted is None
        self.registration.setDesired(Desired(wanted or Absent(), renew=not final, final=final))

    def retry(self) -> None:
        """Advance the clock by the longest pause."""
        self.clock.advance(30.0)

    @property
    def there(self) -> dict[str, str]:
        """Return the utilization status of each game server in FleetIQ, by id."""
        return {
            each["GameServerId"]: each["UtilizationStatus"]
            for each in self.fleet.state()["gameServers"]
        }

    def calls(self) -> dict[str, int]:
        """Return the number of calls of each operation."""
        return dict(self.fleet.state()["calls"])

    def assertRegistered(self, known: Known, status: str = "AVAILABLE") -> None:
        """Check that FleetIQ has this registration only, and that this state is known."""
        state = self.registration.state
        self.assertEqual((state.known, state.failures), (known, 0))
        self.assertEqual(self.there, {state.gameServerId: status})


class StartTests(FaultsTestCase):
    """Faults before the first registration."""

    def test_temporary(self) -> None:
        """Temporary errors are retried without an end, with the same id."""
        for kind, code in (
            ("throttle", None),
            ("error", "LimitExceededException"),
            ("error", "ExpiredTokenException"),
            ("error", "RequestTimeoutException"),
        ):
            self.setUp()
            order = {"code": code} if code else {}
            self.fleet.fault(operation=REGISTER, kind=kind, count=20, **order)
            gameServerId = self.start().state.gameServerId
            for _ in range(19):
                self.assertEqual(self.registration.state.known, Absent())
                self.retry()
            self.assertIsNotNone(self.registration.degradedSince)
            self.retry()
            self.assertRegistered(Available())
            self.assertEqual(self.registration.state.gameServerId, gameServerId)
            self.assertEqual((self.refusals, self.registration.degradedSince), ([], None))

    def test_permanent(self) -> None:
        """Permanent errors end the registration, with a hint if there is one."""
        for code, cure in (
            ("AccessDeniedException", "Allow gamelift:RegisterGameServer on the group"),
            ("InvalidSignatureException", "Check the secret key, and this machine's clock."),
            ("RequestExpired", "Check this machine's clock."),
            ("UnrecognizedClientException", "Check AWS_PROFILE"),
            ("InvalidRequestException", ""),
            ("NotFoundException", ""),
        ):
            self.setUp()
            self.fleet.fault(operation=REGISTER, kind="error", code=code)
            self.start()
            self.successResultOf(self.running)
            [sentence] = self.refusals
            self.assertIn(f"RegisterGameServer was refused: {code}: ", sentence)
            self.assertIn(cure, sentence)

    def test_drop(self) -> None:
        """If the connection is lost before the call, it is described, and then registered."""
        self.fleet.fault(operation=REGISTER, kind="drop", count=1)
        gameServerId = self.start().state.gameServerId
        self.retry()
        self.retry()
        self.assertRegistered(Available())
        self.assertEqual(self.registration.state.gameServerId, gameServerId)

    def test_lostReply(self) -> None:
        """If the connection is lost after the call, it is found, and not registered twice."""
        self.fleet.fault(operation=REGISTER, kind="lost-reply", count=1)
        self.start()
        self.retry()
        self.assertRegistered(Available())
        self.assertEqual(self.calls()[REGISTER], 1)

    def test_serverError(self) -> None:
        """A call with status 5xx may have happened too."""
        self.fleet.fault(operation=REGISTER, kind="error", code="InternalServiceException", count=1)
        self.start()
        self.retry()
        self.retry()
        self.assertRegistered(Available())

    def test_lateEffect(self) -> None:
        """A Register that takes effect after its timeout is recognized as our own."""
        self.fleet.fault(operation=REGISTER, kind="slow", seconds=0.6, count=1)
        self.start()
        self.retry()
        self.assertEqual((self.registration.state.known, self.there), (Absent(), {}))
        for _ in range(500):
            if self.there:
                break
            Event().wait(0.02)
        self.retry()
        self.retry()
        self.assertRegistered(Available())


class LaterTests(FaultsTestCase):
    """After the first registration: it does not end, and no session is doubled."""

    def setUp(self) -> None:
        super().setUp()
        self.start()
        self.gameServerId = self.registration.state.gameServerId

    def test_utilizeLost(self) -> None:
        """UTILIZED is reached if the call or its reply is lost, refused, or has status 5xx."""
        for order in (
            {"kind": "drop"},
            {"kind": "lost-reply"},
            {"kind": "throttle"},
            {"kind": "error", "code": "InternalServiceException"},
            {"kind": "error", "code": "ExpiredTokenException"},
            {"kind": "error", "code": "AccessDeniedException"},
        ):
            self.setUp()
            self.fleet.fault(operation=UPDATE, count=1, **order)
            self.change(Utilized(1))
            self.retry()
            self.assertRegistered(Utilized(1), "UTILIZED")
            self.assertEqual((self.registration.state.gameServerId), self.gameServerId)
            self.assertEqual(self.calls()[REGISTER], 1)

    def test_deregisterLost(self) -> None:
        """The game server is deregistered and registered once, also after lost calls."""
        for kind in ("drop", "lost-reply", "throttle"):
            self.setUp()
            self.change(Utilized(1))
            self.fleet.fault(operation=DEREGISTER, kind=kind, count=1)
            self.change(Available())
            self.retry()
            self.retry()  # a NotFoundException on so young a registration counts as a failure
            self.assertRegistered(Available())
            self.assertNotEqual(self.registration.state.gameServerId, self.gameServerId)
            self.assertEqual(self.calls()[REGISTER], 2)

    def test_outage(self) -> None:
        """Failures of ten minutes are logged once a minute. Then the calls succeed."""
        self.fleet.fault(operation="*", kind="error", code="AccessDeniedException")
        self.change(Utilized(1))
        with capturedLogs() as events:
            for _ in range(20):
                self.retry()
        lines = [line for line in logLines(events) if line.startswith("FleetIQ calls fail since ")]
        self.assertEqual(len(lines), 10)
        self.assertIn("Allow gamelift:UpdateGameServer", lines[-1])
        self.assertEqual((self.refusals, self.there), ([], {self.gameServerId: "AVAILABLE"}))
        self.fleet.endFaults()
        with capturedLogs() as events:
            self.retry()
        self.assertIn("FleetIQ calls succeed again", "\n".join(logLines(events)))
        self.assertRegistered(Utilized(1), "UTILIZED")

    def test_noEndpoint(self) -> None:
        """If the port or the host name does not exist, the call was not sent, and is retried."""
        for url in ("http://127.0.0.1:1", "http://nobody.invalid:4570"):
            error = self.failureResultOf(
                FleetIQ(gameLiftWith(self.clientOf(url)), "local").heartbeat("gs-1")
            ).value
            self.assertEqual((error.retry, error.mayHaveHappened), (True, False), str(error))
