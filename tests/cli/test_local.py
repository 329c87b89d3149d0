"""Tests of fleetiq local, with a local FleetIQ in memory, and once over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError
from twisted.trial.unittest import TestCase

from echoserver.cli import local
from echoserver.cli.controls import MAX_BODY, MAX_EVENT, RESPONSE_TIMEOUT, Controls, newClient
from echoserver.cli.output import Reply
from echoserver.local.model.values import instanceIdOf
from echoserver.local.service import LocalFleetIQ
from tests.clidoubles import BrokenPipe, CommandTestCase, Response
from tests.local.inmemory import MemoryFleetIQ

URL = "http://127.0.0.1:4570"
FIRST_LINE = f"local FleetIQ on {URL}\n"
INSTANCE = instanceIdOf("local", 0)
SRV_1 = {"GameServerGroupName": "local", "GameServerId": "srv-1"}


class Stream:
    """A response of treq whose body arrives in pieces."""

    code = 200

    def __init__(self) -> None:
        self.read: Callable[[bytes], None] = lambda _data: None
        self.ended: Deferred[None] = Deferred()

    def collect(self, read: Callable[[bytes], None]) -> Deferred[None]:
        self.read = read
        return self.ended

    def receive(self, data: bytes) -> None:
        """Receive a piece of the body. If the callback raises, the stream ends, as in treq."""
        try:
            self.read(data)
        except Exception:  # noqa: BLE001 (as treq does)
            self.ended.errback()


class HTTP:
    """
    The part of treq's client that the controls use, with a local FleetIQ in memory.

    @ivar requests: the methods and URLs that were requested.
    @ivar response: what to return instead of the response of the local FleetIQ.
    """

    def __init__(self, fleetIQ: MemoryFleetIQ) -> None:
        self._fleetIQ = fleetIQ
        self.requests: list[str] = []
        self.response: Any = None

    def request(self, method: str, url: str, *, data: bytes | None, unbuffered: bool) -> Any:
        """Return C{response} if it is set, else the response of the local FleetIQ."""
        assert unbuffered
        self.requests.append(f"{method} {url}")
        if isinstance(self.response, Exception):
            return fail(self.response)
        if isinstance(self.response, Deferred):
            return self.response
        if self.response is not None:
            return succeed(self.response)
        response = self._fleetIQ.request(method, url.removeprefix(URL), {}, data or b"")
        return succeed(Response(response.status, response.body))


class LocalTestCase(CommandTestCase):
    """Run C{fleetiq local} with a local FleetIQ in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.fleetIQ = MemoryFleetIQ()
        self.http = HTTP(self.fleetIQ)

    def output(self, *words: str) -> str:
        """Run a command that succeeds, and return its standard output."""
        status = self.run_("local", *words)
        self.assertEqual((0, FIRST_LINE), (status, self.stderr.getvalue()))
        return self.out

    def error(self, *words: str, status: int = 1) -> str:
        """Run a command that fails, and return its message."""
        self.assertEqual(status, self.run_("local", *words), self.stderr.getvalue())
        self.assertEqual("", self.out)
        return self.stderr.getvalue().removeprefix(FIRST_LINE)

    def register(self) -> None:
        self.fleetIQ.call(
            "RegisterGameServer", **SRV_1, InstanceId=INSTANCE, ConnectionInfo="localhost:7000"
        )


class ChangeTests(LocalTestCase):
    """Commands that change the local FleetIQ."""

    def test_fault(self) -> None:
        """A fault has the given members, and the output says how to end it."""
        self.assertEqual(
            "fault-1 is active; 'fleetiq local fault --end fault-1' ends it.\n",
            self.output("fault", "--kind=slow", "--seconds=0.5"),
        )
        words = ("--operation=ClaimGameServer", "--code=Busy", "--probability=0.5", "--count=10")
        self.output("fault", "--kind=error", *words)
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
        """Faults can be ended one by one, or all at once."""
        for _ in range(3):
            self.output("fault", "--kind", "drop")
        self.assertEqual("fault-2 has ended.\n", self.output("fault", "--end", "fault-2"))
        self.assertEqual(2, len(self.fleetIQ.state()["faults"]))
        self.assertIn("There is no fault 'a/b'", self.error("fault", "--end", "a/b"))
        self.assertEqual("All faults have ended.\n", self.output("fault", "--end-all"))
        self.assertEqual([], self.fleetIQ.state()["faults"])

    def test_interrupt(self) -> None:
        """By default, an instance receives a spot notice of 120 s."""
        self.assertEqual(
            f"{INSTANCE} received a spot notice and is SPOT_TERMINATING; "
            "it terminates at 2023-11-14T22:15:20.000Z of the local clock.\n",
            self.output("interrupt", INSTANCE),
        )
        other = instanceIdOf("local", 1)
        self.assertEqual(
            f"{other} received a draining notice and is DRAINING.\n",
            self.output("interrupt", other, "--kind", "draining"),
        )
        statuses = [each["InstanceStatus"] for each in self.fleetIQ.state()["instances"]]
        self.assertEqual(["SPOT_TERMINATING", "DRAINING"], statuses)

    def test_interruptSeconds(self) -> None:
        """The option --seconds sets the time until the end."""
        self.assertIn(
            "at 2023-11-14T22:13:25.500Z", self.output("interrupt", INSTANCE, "--seconds=5.5")
        )

    def test_clock(self) -> None:
        """The clock can be advanced and sped up, also with one command."""
        self.assertEqual(
            "The local clock is at 2023-11-14T22:14:20.000Z and advances 1 s per second.\n",
            self.output("clock", "--advance", "60"),
        )
        self.assertEqual(
            "The local clock is at 2023-11-14T22:15:20.000Z and advances 2.5 s per second.\n",
            self.output("clock", "--advance", "60", "--scale", "2.5"),
        )
        self.assertEqual(2.5, self.fleetIQ.state()["timeScale"])

    def test_reset(self) -> None:
        """A reset restores the state of the start."""
        self.register()
        self.assertEqual(
            "The local FleetIQ is in the state of its start again.\n", self.output("reset", "--yes")
        )
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_resetConfirmed(self) -> None:
        """On a terminal, a reset needs a confirmation."""
        self.register()
        for answer, status, left in (("n\n", 1, 1), ("y\n", 0, 0)):
            self.ask = lambda _question, answer=answer: answer
            self.assertEqual(status, self.run_("local", "reset"))
            self.assertEqual(left, len(self.fleetIQ.state()["gameServers"]))

    def test_json(self) -> None:
        """With --json each reply of a control is one line."""
        for words, members in (
            (("fault", "--kind=drop"), {"id"}),
            (("fault", "--end=fault-1"), set()),
            (("interrupt", INSTANCE), {"InstanceId", "InstanceStatus", "kind", "end"}),
            (("clock", "--scale=2"), {"now", "timeScale"}),
            (("reset", "--yes"), set()),
        ):
            self.assertEqual(0, self.run_("--json", "local", *words))
            self.assertEqual(members, set(json.loads(self.out)))

    def test_rejected(self) -> None:
        """If the local FleetIQ rejects a request, its message is written; a value is usage."""
        for words, message in (
            (("fault", "--kind=slow"), "A slow fault needs seconds"),
            (("fault", "--kind=drop", "--count=1.5"), "count is 1.5"),
            (("fault", "--kind=drop", "--operation="), "operation is ''"),
            (("fault", "--kind=drop", "--probability=2"), "probability is 2"),
            (("clock", "--scale=1e9"), "scale is 1000000000"),
            (("interrupt", INSTANCE, "--kind=draining", "--seconds=5"), "omit seconds"),
        ):
            self.assertIn(message, self.error(*words, status=2))
        self.assertIn("'i-1'", self.error("interrupt", "i-1"))
        self.assertIn("There is no fault", self.error("fault", "--end=fault-9"))

    def test_wrongUsage(self) -> None:
        """Wrong usage gives a message, and no request is sent."""
        for words, message in (
            ((), "fleetiq local: name a command: interrupt, fault, clock, reset, state, "),
            (("dance",), "fleetiq local: No such command 'dance'."),
            (("state", "x"), "fleetiq local state: Got unexpected extra argument (x)."),
            (("clock",), "add --advance SECONDS or --scale SECONDS."),
            (("clock", "--advance=x"), "--advance is 'x': it must be a number."),
            (("clock", "--advance=nan"), "--advance is 'nan': it must be a number."),
            (("clock", "--advance=1e999"), "--advance is '1e999': it must be a number."),
            (("interrupt",), "name one instance id, not 0."),
            (("fault",), "add --kind slow, error, throttle, drop or lost-reply, or --end ID"),
            (("fault", "--count=1"), "add --kind"),
            (("fault", "--kind=drop", "--end-all"), "inject a fault, or end one, or end all"),
            (("fault", "--end=fault-1", "--end-all"), "inject a fault, or end one, or end all"),
            (("fault", "--end="), "--end is empty"),
            (("fault", "--kind=explode"), "kind is 'explode': it must be one of slow, error"),
            (("fault", "--kind=Slow"), "kind is 'Slow': it must be one of slow, error"),
            (("interrupt", INSTANCE, "--kind=Spot"), "kind is 'Spot': it must be one of spot, "),
            (("interrupt", INSTANCE, "--seconds=0"), "seconds is 0: it must be a number above 0"),
            (("clock", "--scale=-1"), "scale is -1"),
            (("clock", "--advance=-60"), "advance is -60: it must be a number above 0"),
            (("reset",), "this removes every game server of the local FleetIQ. Without a terminal"),
        ):
            self.assertIn(message, self.error(*words, status=2))
        self.assertEqual([], self.http.requests)


class OpenTests(LocalTestCase):
    """C{fleetiq local open}"""

    def setUp(self) -> None:
        super().setUp()
        self.opened: list[str] = []
        self.patch(local, "openURL", self.openURL)

    def openURL(self, url: str) -> bool:
        self.opened.append(url)
        return len(self.opened) == 1

    def test_open(self) -> None:
        """The page is opened, and its address is written."""
        self.assertEqual(f"{URL}/\n", self.output("open"))
        self.assertEqual([f"{URL}/"], self.opened)

    def test_noBrowser(self) -> None:
        """Without a browser the address is enough."""
        self.opened.append("")
        self.assertEqual(0, self.run_("local", "open"))
        self.assertEqual(f"{URL}/\n", self.out)
        self.assertIn("No browser was found", self.err)

    def test_notRunning(self) -> None:
        """Nothing is opened if no local FleetIQ responds."""
        self.http.response = ConnectError()
        self.assertIn("No local FleetIQ responds", self.error("open"))
        self.assertEqual([], self.opened)


class ShowTests(LocalTestCase):
    """Commands that show the state and the journal of the local FleetIQ."""

    def test_state(self) -> None:
        """The state is written as tables."""
        self.assertEqual(
            "The local clock is at 2023-11-14T22:13:20.000Z and advances 1 s per second.\n"
            "\n"
            "GROUP  STATUS\n"
            "local  ACTIVE\n"
            "\n"
            "INSTANCE             STATUS  GROUP\n"
            f"{INSTANCE}  ACTIVE  local\n"
            f"{instanceIdOf('local', 1)}  ACTIVE  local\n"
            "\n"
            "No game server is registered.\n",
            self.output("state"),
        )
        self.register()
        self.output("fault", "--kind=slow", "--seconds=0.5", "--count=3")
        self.fleetIQ.clock.advance(3)
        last = self.output("state").split("\n\n")[3:]
        self.assertEqual(
            [
                ["srv-1", "AVAILABLE", "localhost:7000", INSTANCE, "3s", "ago", "3s", "ago", "-"],
                ["fault-1", "slow", "*", "0.5", "-", "1.0", "3"],
                ["RegisterGameServer", "1"],
            ],
            [table.splitlines()[1].split() for table in last],
        )

    def test_stateAsJSON(self) -> None:
        """With --json the state is one line, as the control returns it."""
        self.run_("--json", "local", "state")
        self.assertEqual(self.fleetIQ.state(), json.loads(self.out))

    def test_journal(self) -> None:
        """Each call and event is a line, with the reason of a failed claim or a dropped server."""
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        self.register()
        self.fleetIQ.clock.advance(181)
        self.assertEqual(
            "2023-11-14T22:13:20.000Z ClaimGameServer of local: OutOfCapacityException "
            "(No game server of group local is free to claim, of 0 registered.), 0.0 ms\n"
            f"2023-11-14T22:13:20.000Z srv-1 registered on {INSTANCE}, AVAILABLE\n"
            "2023-11-14T22:13:20.000Z RegisterGameServer of srv-1: OK, 0.0 ms\n"
            "2023-11-14T22:16:21.000Z srv-1 dropped: last health report 181 s ago\n",
            self.output("journal"),
        )

    def test_journalResources(self) -> None:
        """An event of an instance or a group starts with its name; a reset has no name."""
        self.output("interrupt", INSTANCE)
        self.fleetIQ.call("DeleteGameServerGroup", GameServerGroupName="local")
        first, second, *_ = self.output("journal").splitlines()
        self.assertIn(f"Z {INSTANCE} has a spot", first)
        self.assertIn("Z local is DELETE_SCHEDULED", second)
        self.output("reset", "--yes")
        self.assertIn("Z reset", self.output("journal"))

    def test_journalAsJSON(self) -> None:
        """With --json each entry is one line."""
        self.register()
        self.run_("--json", "local", "journal")
        entries = [json.loads(line) for line in self.out.splitlines()]
        self.assertEqual(["registered", "call"], [entry["event"] for entry in entries])

    def test_discarded(self) -> None:
        """A message gives the number of discarded entries."""
        self.http.response = Response(200, b'{"entries": [], "forgotten": 7}')
        self.run_("local", "journal")
        self.assertEqual(
            f"{FIRST_LINE}7 older entries have been discarded.\n", self.stderr.getvalue()
        )

    def test_escapeSequences(self) -> None:
        """A caller cannot send escape sequences to the terminal."""
        self.fleetIQ.call("\x1b[2J")
        self.assertNotIn("\x1b", self.output("journal"))

    def test_newlines(self) -> None:
        """A caller cannot forge entries with newlines."""
        self.fleetIQ.call("ListGameServers", GameServerGroupName="x\n1970-01-01T00:00:00.000Z y")
        self.assertEqual(1, self.output("journal").count("\n"))


class EventsTests(LocalTestCase):
    """The subcommand events."""

    MESSAGE = b'data: {"time": 0, "event": "reset", "sentence": "all is new"}\n\n'

    def setUp(self) -> None:
        super().setUp()
        self.stream = self.http.response = Stream()

    def test_follow(self) -> None:
        """Each message is written when it is complete; comments are ignored."""
        done = self.start("local", "events")
        self.stream.receive(b": comment\n\n" + self.MESSAGE + self.MESSAGE[:20])
        self.assertEqual("1970-01-01T00:00:00.000Z all is new\n", self.out)
        self.stream.receive(self.MESSAGE[20:])
        self.assertEqual(2, self.out.count("all is new"))
        self.assertNoResult(done)
        self.stream.ended.callback(None)
        self.assertEqual(0, self.successResultOf(done))
        self.assertIn("The local FleetIQ has stopped.", self.stderr.getvalue())

    def test_interrupted(self) -> None:
        """A broken connection gives a message and exit status 1."""
        done = self.start("local", "events")
        self.stream.ended.errback(ConnectError())
        self.assertEqual(1, self.successResultOf(done))
        self.assertIn(
            f"The event stream of the local FleetIQ on {URL} was interrupted.",
            self.stderr.getvalue(),
        )

    def test_outputClosed(self) -> None:
        """The command ends when standard output is closed."""
        self.makeStdout = BrokenPipe
        done = self.start("local", "events")
        self.stream.receive(self.MESSAGE)
        self.assertEqual(0, self.successResultOf(done))
        self.assertEqual(FIRST_LINE, self.stderr.getvalue())


class EndpointTests(LocalTestCase):
    """The URL of the controls, and errors of the connection."""

    def test_endpoint(self) -> None:
        """The endpoint comes from the option, the environment variable, or the default."""
        for url, words, environ in (
            ("http://localhost:4571/", ("--endpoint-url", "http://localhost:4571/"), {}),
            ("http://[::1]:4572", (), {"AWS_ENDPOINT_URL_GAMELIFT": "http://[::1]:4572"}),
            (URL, (), {}),
        ):
            self.http.response = Response(200, b"{}")
            self.run_(*words, "local", "reset", "--yes", environ=environ)
            self.assertEqual(f"POST {url.rstrip('/')}/_local/reset", self.http.requests[-1])

    def test_aws(self) -> None:
        """Options that select AWS are rejected, because AWS has no controls."""
        amazon = "https://gamelift.ap-northeast-2.amazonaws.com"
        for words, message in (
            (("--group", "g"), "--group has no effect here"),
            (("--region", "eu-west-1"), "--region has no effect here"),
            (("--endpoint-url", amazon), f"The endpoint {amazon} is AWS, which has no controls"),
            (("--endpoint-url", "ftp://x"), "The endpoint 'ftp://x' is not a valid URL"),
        ):
            self.assertEqual(2, self.run_(*words, "local", "state"))
            self.assertIn(f"fleetiq local state: {message}", self.stderr.getvalue())
        self.assertEqual([], self.http.requests)

    def test_noResponse(self) -> None:
        """If no local FleetIQ responds in time, the message says how to start one."""
        message = (
            f"No local FleetIQ responds on {URL}: start one with 'make run' or 'twistd -n "
            "fleetiq-local', or select another with --endpoint-url.\n"
        )
        self.http.response = ConnectError("refused")
        self.assertEqual(message, self.error("state"))
        self.assertEqual(message, self.error("events"))
        self.http.response = Deferred()
        done = self.start("local", "state")
        self.clock.advance(RESPONSE_TIMEOUT)
        self.assertEqual(1, self.successResultOf(done))
        self.assertEqual(FIRST_LINE + message, self.stderr.getvalue())

    def test_otherServer(self) -> None:
        """If another server responds, the message says that it is not a local FleetIQ."""
        for response in (
            Response(404, b"<html>"),
            Response(200, b"<html>"),
            Response(400, b"[]"),
            Response(404, b'{"message": "x"}'),
        ):
            self.http.response = response
            for command in ("state", "events") if response.code != 200 else ("state",):
                self.assertIn(
                    f"is not a local FleetIQ with this control: it responds to /_local/{command} "
                    f"with status {response.code}.",
                    self.error(command),
                )


class WrongReplyTests(LocalTestCase):
    """Replies that no local FleetIQ sends."""

    def test_shapes(self) -> None:
        """A member that is missing or of another type is an error that names it."""
        for words, body, what in (
            (("state",), b"{}", "now is missing"),
            (("state",), b'{"now": "x"}', "now is 'x'"),
            (("state",), b'{"now": 1e300, "timeScale": 1}', "now is 1e+300"),
            (("state",), b'{"now": NaN, "timeScale": 1}', "now is nan"),
            (("state",), b'{"now": 1, "timeScale": 1, "groups": {}}', "groups is not a list"),
            (
                ("state",),
                b'{"now": 1, "timeScale": 1, "groups": [[]]}',
                "groups[0] is not an object",
            ),
            (("journal",), b'{"entries": [{"time": true}]}', "entries[0].time is True"),
            (("clock", "--scale=2"), b"[]", "it is not an object"),
            (("clock", "--scale=2"), b"[" * 100_000, "no JSON"),
            (("interrupt", INSTANCE), b'{"InstanceId": 5}', "InstanceId is 5"),
            (("fault", "--kind=drop"), b'{"id": null}', "id is None"),
        ):
            self.http.response = Response(200, body)
            message = self.error(*words)
            self.assertIn(f"The server on {URL} is not a local FleetIQ", message)
            self.assertTrue(message.endswith(f": {what}.\n"), message)

    def test_tooLong(self) -> None:
        """A body that is longer than the limit is not kept."""
        for status in (200, 500):
            self.http.response = Response(status, b" " * (MAX_BODY + 1))
            self.assertIn(f"with more than {MAX_BODY:,d} bytes.", self.error("state"))

    def test_tooLongEvent(self) -> None:
        """An event without end, and one that is no entry, end the command."""
        for data, what in (
            (b"data: " + b"x" * MAX_EVENT, "an event of more than 1,048,576 bytes"),
            (b'data: {"time": 0}\n', "event is missing"),
            (b"data: x\n", "no JSON"),
        ):
            stream = self.http.response = Stream()
            done = self.start("local", "events")
            stream.receive(data)
            self.assertEqual(1, self.successResultOf(done))
            self.assertIn(what, self.stderr.getvalue())

    def test_newlines(self) -> None:
        """A member with a newline cannot forge a line of the output."""
        reply = {"InstanceId": "a\nb", "InstanceStatus": "ACTIVE", "kind": "spot", "end": None}
        self.http.response = Response(200, json.dumps(reply).encode())
        self.assertEqual(
            "a\\nb received a spot notice and is ACTIVE.\n", self.output("interrupt", INSTANCE)
        )


class SocketTests(TestCase):
    """The controls, with treq over a socket."""

    async def test_controls(self) -> None:
        """Requests and the event stream work; the stream ends when the local FleetIQ stops."""
        from twisted.internet import reactor

        fleetIQ = LocalFleetIQ(reactor, "tcp:0:interface=127.0.0.1")
        fleetIQ.startService()
        controls = Controls(reactor, newClient(reactor), fleetIQ.url)
        faultId = (await controls.post("faults", {"operation": "*", "kind": "drop"}))["id"]
        self.assertEqual({}, await controls.delete(f"faults/{faultId}"))
        received: list[Reply] = []
        first: Deferred[None] = Deferred()

        def onMessage(entry: Reply) -> None:
            received.append(entry)
            if not first.called:
                first.callback(None)

        following = Deferred.fromCoroutine(controls.follow("events", onMessage))
        await controls.post("interrupt", {"InstanceId": INSTANCE})
        await first
        await fleetIQ.stopService()
        await following
        self.assertEqual(["fault", "fault", "interrupted"], [entry["event"] for entry in received])
