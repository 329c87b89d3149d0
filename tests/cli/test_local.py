"""The commands below fleetiq local, on a local FleetIQ in memory, and once over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError
from twisted.trial.unittest import TestCase

from echoserver.cli.console import Reply
from echoserver.cli.controls import ANSWER_TIMEOUT, Controls, newClient
from echoserver.local.model.values import instanceIdOf
from echoserver.local.service import LocalFleetIQ
from tests.clidoubles import Closed, CommandTestCase
from tests.local.inmemory import MemoryFleetIQ

URL = "http://127.0.0.1:4570"
WHERE = f"local FleetIQ on {URL}\n"
INSTANCE = instanceIdOf("local", 0)
SRV_1 = {"GameServerGroupName": "local", "GameServerId": "srv-1"}


class Answer:
    """A response of treq's."""

    def __init__(self, code: int, body: bytes) -> None:
        self.code = code
        self._body = body

    def content(self) -> Deferred[bytes]:
        return succeed(self._body)


class Stream:
    """A response of treq's whose body comes in pieces."""

    code = 200

    def __init__(self) -> None:
        self.read: Callable[[bytes], None] = lambda _data: None
        self.ended: Deferred[None] = Deferred()

    def collect(self, read: Callable[[bytes], None]) -> Deferred[None]:
        self.read = read
        return self.ended

    def say(self, data: bytes) -> None:
        """A piece comes in; treq ends a stream whose reader raises."""
        try:
            self.read(data)
        except Exception:  # noqa: BLE001 (as treq does)
            self.ended.errback()


class HTTP:
    """treq's client, as far as the controls use it: leads to a local FleetIQ in memory."""

    def __init__(self, fleetIQ: MemoryFleetIQ) -> None:
        self._fleetIQ = fleetIQ
        self.asked: list[str] = []
        self.answer: Any = None

    def request(self, method: str, url: str, *, data: bytes | None, unbuffered: bool) -> Any:
        """C{answer}, if there is one, else what the FleetIQ answers."""
        assert unbuffered
        self.asked.append(f"{method} {url}")
        if isinstance(self.answer, Exception):
            return fail(self.answer)
        if isinstance(self.answer, Deferred):
            return self.answer
        if self.answer is not None:
            return succeed(self.answer)
        response = self._fleetIQ.ask(method, url.removeprefix(URL), {}, data or b"")
        return succeed(Answer(response.status, response.body))


class LocalTestCase(CommandTestCase):
    """Runs C{fleetiq local} against a local FleetIQ in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.fleetIQ = MemoryFleetIQ()
        self.http = HTTP(self.fleetIQ)

    def shown(self, *words: str) -> str:
        """What these words show, if they succeed."""
        status = self.run_("local", *words)
        self.assertEqual((0, WHERE), (status, self.stderr.getvalue()))
        return self.out

    def refused(self, *words: str, status: int = 1) -> str:
        """With which sentence these words end."""
        self.assertEqual(status, self.run_("local", *words), self.stderr.getvalue())
        self.assertEqual("", self.out)
        return self.stderr.getvalue().removeprefix(WHERE)

    def register(self) -> None:
        self.fleetIQ.call(
            "RegisterGameServer", **SRV_1, InstanceId=INSTANCE, ConnectionInfo="localhost:7000"
        )


class OrdersTests(LocalTestCase):
    """What changes the local FleetIQ."""

    def test_fault(self) -> None:
        """A fault is ordered in the control's own words, and told how to end."""
        self.assertEqual(
            "fault-1 is ordered; 'fleetiq local fault --end fault-1' ends it.\n",
            self.shown("fault", "--kind=slow", "--seconds=0.5"),
        )
        words = ("--operation=ClaimGameServer", "--code=Busy", "--probability=0.5", "--count=10")
        self.shown("fault", "--kind=error", *words)
        slow, error = self.fleetIQ.state()["faults"]
        self.assertEqual(("*", "slow", 0.5), (slow["operation"], slow["kind"], slow["seconds"]))
        self.assertEqual(
            {
                "id": "fault-2",
                "operation": "ClaimGameServer",
                "kind": "error",
                "seconds": None,
                "code": "Busy",
                "probability": 0.5,
                "count": 10,
            },
            error,
        )

    def test_endFaults(self) -> None:
        """Faults end one by one, or all."""
        for _ in range(3):
            self.shown("fault", "--kind", "drop")
        self.assertEqual("fault-2 is ended.\n", self.shown("fault", "--end", "fault-2"))
        self.assertEqual(2, len(self.fleetIQ.state()["faults"]))
        self.assertIn("There is no fault 'a/b'", self.refused("fault", "--end", "a/b"))
        self.assertEqual("All faults are ended.\n", self.shown("fault", "--end-all"))
        self.assertEqual([], self.fleetIQ.state()["faults"])

    def test_interrupt(self) -> None:
        """An instance gets its notice, spot if nothing else is said, and 120 s."""
        self.assertEqual(
            f"{INSTANCE} has its spot notice and is SPOT_TERMINATING; "
            "at 2023-11-14T22:15:20.000Z of the local clock it is gone.\n",
            self.shown("interrupt", INSTANCE),
        )
        other = instanceIdOf("local", 1)
        self.assertEqual(
            f"{other} has its draining notice and is DRAINING.\n",
            self.shown("interrupt", other, "--kind", "draining"),
        )
        statuses = [each["InstanceStatus"] for each in self.fleetIQ.state()["instances"]]
        self.assertEqual(["SPOT_TERMINATING", "DRAINING"], statuses)

    def test_interruptSeconds(self) -> None:
        """The notice's time is as far away as is said."""
        self.assertIn(
            "at 2023-11-14T22:13:25.500Z", self.shown("interrupt", INSTANCE, "--seconds=5.5")
        )

    def test_clock(self) -> None:
        """The clock is moved and sped up, both at once if both are said."""
        self.assertEqual(
            "The local clock reads 2023-11-14T22:14:20.000Z, 1 s in a second.\n",
            self.shown("clock", "--advance", "60"),
        )
        self.assertEqual(
            "The local clock reads 2023-11-14T22:15:20.000Z, 2.5 s in a second.\n",
            self.shown("clock", "--advance", "60", "--scale", "2.5"),
        )
        self.assertEqual(2.5, self.fleetIQ.state()["timeScale"])

    def test_reset(self) -> None:
        """All is as at the start."""
        self.register()
        self.assertEqual("The local FleetIQ is as it was at its start.\n", self.shown("reset"))
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_json(self) -> None:
        """For machines each answer is a line, as the control words it."""
        for words, members in (
            (("fault", "--kind=drop"), {"id"}),
            (("fault", "--end=fault-1"), set()),
            (("interrupt", INSTANCE), {"InstanceId", "InstanceStatus", "kind", "end"}),
            (("clock", "--scale=2"), {"now", "timeScale"}),
            (("reset",), set()),
        ):
            self.assertEqual(0, self.run_("--json", "local", *words))
            self.assertEqual(members, set(json.loads(self.out)))

    def test_refusals(self) -> None:
        """What FleetIQ refuses ends with FleetIQ's own sentence."""
        for words, sentence in (
            (("fault", "--kind=explode"), "kind is 'explode': it must be one of slow, error"),
            (("fault", "--kind=slow"), "A slow fault needs seconds"),
            (("fault", "--kind=drop", "--count=1.5"), "count is 1.5"),
            (("fault", "--kind=drop", "--operation="), "operation is ''"),
            (("clock", "--scale=-1"), "scale is -1"),
            (("interrupt", "i-1"), "'i-1'"),
        ):
            self.assertIn(sentence, self.refused(*words))

    def test_wrongUsage(self) -> None:
        """What cannot be meant is told before anything is asked."""
        for words, sentence in (
            ((), "fleetiq local: name a command: interrupt, fault, clock, reset, state, "),
            (("dance",), "fleetiq local: Unknown command: dance."),
            (("state", "x"), "fleetiq local state: 'x' is not understood."),
            (("clock",), "add --advance SECONDS or --scale SECONDS."),
            (("clock", "--advance=x"), "--advance is 'x': it must be a number."),
            (("clock", "--advance=nan"), "--advance is 'nan': it must be a number."),
            (("clock", "--advance=1e999"), "--advance is '1e999': it must be a number."),
            (("interrupt",), "name one instance id, not 0."),
            (("fault",), "add --kind slow, error, throttle, drop or lost-reply, or --end ID"),
            (("fault", "--count=1"), "add --kind"),
            (("fault", "--kind=drop", "--end-all"), "order a fault, or end one, or all"),
            (("fault", "--end=fault-1", "--end-all"), "order a fault, or end one, or all"),
            (("fault", "--end="), "--end is empty"),
            (("state", "--json"), "It goes before the command: 'fleetiq --json ... local'."),
        ):
            self.assertIn(sentence, self.refused(*words, status=2))
        self.assertEqual([], self.http.asked)


class TellingTests(LocalTestCase):
    """What the local FleetIQ tells."""

    def test_state(self) -> None:
        """All there is, in tables."""
        self.assertEqual(
            "The local clock reads 2023-11-14T22:13:20.000Z, 1 s in a second.\n"
            "\n"
            "GROUP  STATUS\n"
            "local  ACTIVE\n"
            "\n"
            "INSTANCE             STATUS  GROUP\n"
            f"{INSTANCE}  ACTIVE  local\n"
            f"{instanceIdOf('local', 1)}  ACTIVE  local\n"
            "\n"
            "No game server is registered.\n",
            self.shown("state"),
        )
        self.register()
        self.shown("fault", "--kind=slow", "--seconds=0.5", "--count=3")
        self.fleetIQ.clock.advance(3)
        last = self.shown("state").split("\n\n")[3:]
        self.assertEqual(
            [
                ["srv-1", "AVAILABLE", "localhost:7000", INSTANCE, "3s", "ago", "3s", "ago", "-"],
                ["fault-1", "slow", "*", "0.5", "-", "1.0", "3"],
                ["RegisterGameServer", "1"],
            ],
            [table.splitlines()[1].split() for table in last],
        )

    def test_stateForMachines(self) -> None:
        """With --json it is one line, as the control has it."""
        self.run_("--json", "local", "state")
        self.assertEqual(self.fleetIQ.state(), json.loads(self.out))

    def test_journal(self) -> None:
        """A line for each call and event, and why a claim was refused or a server dropped."""
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        self.register()
        self.fleetIQ.clock.advance(181)
        self.assertEqual(
            "2023-11-14T22:13:20.000Z ClaimGameServer of local: OutOfCapacityException "
            "(No game server of group local is free to claim, of 0 registered.), 0.0 ms\n"
            f"2023-11-14T22:13:20.000Z srv-1 registered on {INSTANCE}, AVAILABLE\n"
            "2023-11-14T22:13:20.000Z RegisterGameServer of srv-1: OK, 0.0 ms\n"
            "2023-11-14T22:16:21.000Z srv-1 dropped: last health report 181 s ago\n",
            self.shown("journal"),
        )

    def test_journalOfAll(self) -> None:
        """What happened to an instance, a group or all names it."""
        self.shown("interrupt", INSTANCE)
        self.fleetIQ.call("DeleteGameServerGroup", GameServerGroupName="local")
        first, second, *_ = self.shown("journal").splitlines()
        self.assertIn(f"Z {INSTANCE} has a spot", first)
        self.assertIn("Z local is DELETE_SCHEDULED", second)
        self.shown("reset")
        self.assertIn("Z reset", self.shown("journal"))

    def test_journalForMachines(self) -> None:
        """With --json each entry is a line."""
        self.register()
        self.run_("--json", "local", "journal")
        entries = [json.loads(line) for line in self.out.splitlines()]
        self.assertEqual(["registered", "call"], [entry["event"] for entry in entries])

    def test_forgotten(self) -> None:
        """How many entries are forgotten is said."""
        self.http.answer = Answer(200, b'{"entries": [], "forgotten": 7}')
        self.run_("local", "journal")
        self.assertEqual(f"{WHERE}7 older entries are forgotten.\n", self.stderr.getvalue())

    def test_hostileCalls(self) -> None:
        """What callers sent cannot move the terminal's cursor."""
        self.fleetIQ.call("\x1b[2J")
        self.assertNotIn("\x1b", self.shown("journal"))

    def test_hostileLines(self) -> None:
        """What callers sent cannot pass for an entry of its own."""
        self.fleetIQ.call("ListGameServers", GameServerGroupName="x\n1970-01-01T00:00:00.000Z y")
        self.assertEqual(1, self.shown("journal").count("\n"))


class EventsTests(LocalTestCase):
    """C{fleetiq local events}"""

    MESSAGE = b'data: {"time": 0, "event": "reset", "sentence": "all is new"}\n\n'

    def setUp(self) -> None:
        super().setUp()
        self.stream = self.http.answer = Stream()

    def test_follow(self) -> None:
        """Each message is shown once it is whole; comments are not."""
        done = self.start("local", "events")
        self.stream.say(b": comment\n\n" + self.MESSAGE + self.MESSAGE[:20])
        self.assertEqual("1970-01-01T00:00:00.000Z all is new\n", self.out)
        self.stream.say(self.MESSAGE[20:])
        self.assertEqual(2, self.out.count("all is new"))
        self.assertNoResult(done)
        self.stream.ended.callback(None)
        self.assertEqual(0, self.successResultOf(done))
        self.assertIn("The local FleetIQ has stopped.", self.stderr.getvalue())

    def test_brokenOff(self) -> None:
        """A stream that breaks off is told."""
        done = self.start("local", "events")
        self.stream.ended.errback(ConnectError())
        self.assertEqual(1, self.successResultOf(done))
        self.assertIn(
            f"The events of the local FleetIQ on {URL} broke off.", self.stderr.getvalue()
        )

    def test_nobodyReadsOn(self) -> None:
        """When standard output is closed, it ends."""
        self.makeStdout = Closed
        done = self.start("local", "events")
        self.stream.say(self.MESSAGE)
        self.assertEqual(0, self.successResultOf(done))
        self.assertEqual(WHERE, self.stderr.getvalue())


class WhereTests(LocalTestCase):
    """Which local FleetIQ, and that it is one."""

    def test_endpoint(self) -> None:
        """An endpoint given, by option or variable; else the usual one."""
        for url, words, environ in (
            ("http://localhost:4571/", ("--endpoint-url", "http://localhost:4571/"), {}),
            ("http://[::1]:4572", (), {"AWS_ENDPOINT_URL_GAMELIFT": "http://[::1]:4572"}),
            (URL, (), {}),
        ):
            self.http.answer = Answer(200, b"{}")
            self.run_(*words, "local", "reset", environ=environ)
            self.assertEqual(f"POST {url.rstrip('/')}/_local/reset", self.http.asked[-1])

    def test_aws(self) -> None:
        """AWS has no such controls, however it is named."""
        amazon = "https://gamelift.ap-northeast-2.amazonaws.com"
        for words, sentence in (
            (("--group", "g"), "--group has no meaning here"),
            (("--region", "eu-west-1"), "--region has no meaning here"),
            (("--endpoint-url", amazon), f"The endpoint {amazon} is AWS, which has no such"),
            (("--endpoint-url", "ftp://x"), "The endpoint 'ftp://x' is no URL"),
        ):
            self.assertEqual(2, self.run_(*words, "local", "state"))
            self.assertIn(f"fleetiq local state: {sentence}", self.stderr.getvalue())
        self.assertEqual([], self.http.asked)

    def test_notThere(self) -> None:
        """Where none listens, or answers in time, it is told how to start one."""
        sentence = (
            f"No local FleetIQ answers on {URL}: start one with 'make run' or 'twistd -n "
            "fleetiq-local', or name another with --endpoint-url.\n"
        )
        self.http.answer = ConnectError("refused")
        self.assertEqual(sentence, self.refused("state"))
        self.assertEqual(sentence, self.refused("events"))
        self.http.answer = Deferred()
        done = self.start("local", "state")
        self.clock.advance(ANSWER_TIMEOUT)
        self.assertEqual(1, self.successResultOf(done))
        self.assertEqual(WHERE + sentence, self.stderr.getvalue())

    def test_somethingElse(self) -> None:
        """Something else that answers there is told from a local FleetIQ."""
        for answer in (
            Answer(404, b"<html>"),
            Answer(200, b"<html>"),
            Answer(400, b"[]"),
            Answer(404, b'{"message": "x"}'),
        ):
            self.http.answer = answer
            for command in ("state", "events") if answer.code != 200 else ("state",):
                self.assertIn(
                    f"no local FleetIQ that has this control: it answers /_local/{command} with "
                    f"{answer.code}.",
                    self.refused(command),
                )


class SocketTests(TestCase):
    """The controls through real treq, over a socket."""

    async def test_controls(self) -> None:
        """They are asked and followed; the stream ends as the local FleetIQ stops."""
        from twisted.internet import reactor

        fleetIQ = LocalFleetIQ(reactor, "tcp:0:interface=127.0.0.1")
        fleetIQ.startService()
        controls = Controls(reactor, newClient(reactor), fleetIQ.url)
        faultId = (await controls.post("faults", {"operation": "*", "kind": "drop"}))["id"]
        self.assertEqual({}, await controls.delete(f"faults/{faultId}"))
        told: list[Reply] = []
        first: Deferred[None] = Deferred()

        def tell(entry: Reply) -> None:
            told.append(entry)
            if not first.called:
                first.callback(None)

        followed = Deferred.fromCoroutine(controls.follow("events", tell))
        await controls.post("interrupt", {"InstanceId": INSTANCE})
        await first
        await fleetIQ.stopService()
        await followed
        self.assertEqual(["fault", "fault", "interrupted"], [entry["event"] for entry in told])
