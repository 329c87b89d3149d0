"""The journal as a list and as a stream of events."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.events import COMMENT_SECONDS, MAX_BEHIND
from echoserver.local.model.values import instanceIdOf
from tests.local.inmemory import (
    CBOR_HEADERS,
    Connection,
    MemoryFleetIQ,
    Response,
    callHeaders,
    requestBytes,
    rpcPath,
)

SRV_1 = {"GameServerGroupName": "local", "GameServerId": "srv-1"}
INSTANCE = instanceIdOf("local", 0)


class JournalTestCase(SynchronousTestCase):
    """A complete local FleetIQ in memory."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def register(self) -> Response:
        return self.fleetIQ.call("RegisterGameServer", **SRV_1, InstanceId=INSTANCE)

    def fault(self, **order: Any) -> None:
        self.fleetIQ.request("POST", "/_local/faults", {}, json.dumps(order).encode())


class JournalControlTests(JournalTestCase):
    """C{GET /_local/journal}"""

    def journal(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.fleetIQ.request("GET", "/_local/journal").json[
            "entries"
        ]
        return entries

    def test_call(self) -> None:
        """The entry of a call has its outcome, caller and duration."""
        headers = {**callHeaders("RegisterGameServer"), "User-Agent": "Boto3/1.44.5 ua/2.1"}
        body = json.dumps({**SRV_1, "InstanceId": INSTANCE}).encode()
        self.fault(operation="*", kind="slow", seconds=2, count=1)
        [order] = self.journal()
        connection = self.fleetIQ.connect()
        connection.send(requestBytes("POST", "/", headers, body))
        self.assertEqual([order], self.journal())
        self.fleetIQ.clock.advance(2)
        about = {**SRV_1, "InstanceId": INSTANCE, "time": 1_700_000_002.0}
        self.assertEqual(
            [
                order,
                {
                    **about,
                    "event": "registered",
                    "UtilizationStatus": "AVAILABLE",
                    "sentence": f"registered on {INSTANCE}, AVAILABLE",
                },
                {
                    **about,
                    "event": "call",
                    "operation": "RegisterGameServer",
                    "outcome": "OK",
                    "seconds": 2.0,
                    "caller": "Boto3/1.44.5",
                },
            ],
            self.journal(),
        )

    def test_claim(self) -> None:
        """The entry of a claim has the claimed game server, or the reason for its error."""
        for _ in range(2):
            self.fleetIQ.callInCbor("ClaimGameServer", GameServerGroupName="local")
            self.register()
        failed, _, _, _, claim, *_ = self.journal()
        self.assertEqual("OutOfCapacityException", failed["outcome"])
        self.assertEqual(
            "No game server of group local is free to claim, of 0 registered.", failed["sentence"]
        )
        self.assertEqual(("OK", "srv-1"), (claim["outcome"], claim["GameServerId"]))

    def test_drop(self) -> None:
        """The event of a dropped game server has the reason, without any call."""
        self.register()
        self.fleetIQ.clock.advance(181.5)
        dropped = self.journal()[-1]
        self.assertEqual("dropped", dropped["event"])
        self.assertEqual("dropped: last health report 182 s ago", dropped["sentence"])

    def test_faults(self) -> None:
        """The entry of a call with a fault has the fault and the outcome of the call."""
        for kind, outcome, sentence in (
            ("drop", "drop", "A fault closed the connection before the call took effect."),
            ("lost-reply", "lost-reply", "A fault lost the reply, which was OK."),
            ("throttle", "ThrottlingException", "Rate exceeded"),
        ):
            self.fault(operation="*", kind=kind, count=1)
            connection = self.fleetIQ.connect()
            body = json.dumps({**SRV_1, "InstanceId": INSTANCE}).encode()
            connection.send(requestBytes("POST", "/", callHeaders("RegisterGameServer"), body))
            call = self.journal()[-1]
            self.assertEqual((outcome, sentence), (call["outcome"], call["sentence"]))

    def test_controls(self) -> None:
        """Requests to the controls are events: they explain errors and changes of the clock."""
        self.fault(operation="ListGameServers", kind="drop")
        self.fleetIQ.request("DELETE", "/_local/faults/fault-1")
        self.fleetIQ.request("DELETE", "/_local/faults")
        self.fleetIQ.request("POST", "/_local/clock", {}, b'{"advance": 60, "scale": 2}')
        dropped = "90 s without a health report, and a game server is dropped"
        self.assertEqual(
            [
                ("fault", "fault-1 ordered: drop on ListGameServers"),
                ("fault", "fault-1 ended"),
                ("fault", "all faults ended"),
                ("clock", f"the local clock now runs 2 s in a second: {dropped}"),
                ("clock", "the local clock is moved 60 s ahead"),
            ],
            [(each["event"], each["sentence"]) for each in self.journal()],
        )

    def test_hostile(self) -> None:
        """The entry of any call is short and ASCII."""
        long, odd = "x" * 100_000, {"GameServerGroupName": ["g"], "GameServerId": 1}
        self.fleetIQ.call("ListGameServers", GameServerGroupName=long)
        self.fleetIQ.call("ListGameServers", **odd)
        self.fleetIQ.call("Dance")
        self.fleetIQ.request("POST", "/", callHeaders("ListGameServers"), b"garbage")
        self.fleetIQ.request("POST", rpcPath("x" * 10_000), CBOR_HEADERS)
        target = {**callHeaders("\x1b\xe9"), "User-Agent": "\x1b[2J\xe9"}
        self.fleetIQ.request("POST", "/", target)
        self.fleetIQ.call("TagResource", ResourceARN="arn:aws:x", Tags=[])
        response = self.fleetIQ.request("GET", "/_local/journal")
        self.assertTrue(response.body.isascii())
        self.assertLess(len(response.body), 4000)
        entries = self.journal()
        self.assertEqual(
            ["InvalidRequest"] * 2
            + ["UnknownOperation", "Serialization"]
            + ["UnknownOperation"] * 2
            + ["NotFound"],
            [each["outcome"].removesuffix("Exception") for each in entries],
        )
        self.assertNotIn("GameServerId", entries[1])
        self.assertEqual("arn:aws:x", entries[6]["GameServerGroupName"])
        self.assertEqual(r"\x1b[2J\xe9", entries[5]["caller"])

    def test_bounded(self) -> None:
        """The journal has the last 1,000 calls and the number of forgotten entries."""
        connection = self.fleetIQ.connect()
        request = requestBytes("POST", "/", callHeaders("ListGameServerGroups"), b"{}")
        for _ in range(1007):
            connection.send(request)
        journal = self.fleetIQ.request("GET", "/_local/journal").json
        self.assertEqual((1000, 7), (len(journal["entries"]), journal["forgotten"]))


class EventsControlTests(JournalTestCase):
    """C{GET /_local/events}"""

    def watch(self) -> Connection:
        connection = self.fleetIQ.connect()
        connection.send(requestBytes("GET", "/_local/events", {}, b""))
        return connection

    def messages(self, connection: Connection) -> list[Any]:
        """Return the messages received since the last call."""
        lines = connection.transport.value().split(b"\n")
        connection.transport.clear()
        return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]

    def events(self, connection: Connection) -> list[str]:
        return [message["event"] for message in self.messages(connection)]

    def test_stream(self) -> None:
        """The stream has the journal's entries, then each new one, in the same format."""
        self.register()
        connection = self.watch()
        head = connection.transport.value()
        self.assertIn(b"Content-Type: text/event-stream\r\n", head)
        self.assertEqual(["registered", "call"], self.events(connection))
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        messages = self.messages(connection)
        self.assertEqual(["claimed", "call"], [message["event"] for message in messages])
        journal = self.fleetIQ.request("GET", "/_local/journal").json["entries"]
        self.assertEqual(journal[-2:], messages)
        self.fleetIQ.clock.advance(60)
        self.assertEqual(["claim-expired"], self.events(connection))

    def test_statuses(self) -> None:
        """An event has the statuses after it, with the names of the API."""
        self.register()
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        connection = self.watch()
        self.messages(connection)
        self.fleetIQ.clock.advance(60)
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        self.fleetIQ.call("UpdateGameServer", **SRV_1, UtilizationStatus="UTILIZED")
        self.fleetIQ.call("DeregisterGameServer", **SRV_1)
        body = json.dumps({"InstanceId": INSTANCE, "seconds": 5}).encode()
        self.fleetIQ.request("POST", "/_local/interrupt", {}, body)
        self.fleetIQ.clock.advance(6)
        self.fleetIQ.call("DeleteGameServerGroup", GameServerGroupName="local")
        available, utilized = ({"UtilizationStatus": it} for it in ("AVAILABLE", "UTILIZED"))
        self.assertEqual(
            [
                ("claim-expired", available),
                ("claimed", {**available, "ClaimStatus": "CLAIMED"}),
                ("utilized", utilized),
                ("deregistered", {}),
                ("interrupted", {"InstanceStatus": "SPOT_TERMINATING"}),
                ("terminated", {}),
                ("group-status", {"Status": "DELETE_SCHEDULED"}),
            ],
            [
                (each["event"], {name: each[name] for name in each if name.endswith("Status")})
                for each in self.messages(connection)
                if each["event"] != "call"
            ],
        )

    def test_empty(self) -> None:
        """A stream without entries sends its headers at once."""
        response = self.watch().response()
        self.assertEqual(200, response and response.status)

    def test_slowReader(self) -> None:
        """While a connection is paused, messages wait, and are then sent in order."""
        connection = self.watch()
        connection.protocol.pauseProducing()
        self.messages(connection)
        self.register()
        self.assertEqual([], self.messages(connection))
        connection.protocol.resumeProducing()
        self.assertEqual(["registered", "call"], self.events(connection))

    def test_readerTooSlow(self) -> None:
        """A reader with too many waiting messages is aborted once; others are not affected."""
        stuck, reader = self.watch(), self.watch()
        stuck.protocol.pauseProducing()
        aborted: list[str] = []
        # A real connection does not end at once, either.
        stuck.transport.abortConnection = lambda: aborted.append("aborted")  # type: ignore[method-assign] # as the comment says
        caller = self.fleetIQ.connect()
        request = requestBytes("POST", "/", callHeaders("ListGameServerGroups"), b"{}")
        for _ in range(MAX_BEHIND):
            caller.send(request)
        self.assertEqual([], aborted)
        caller.send(request)
        caller.send(request)
        self.assertEqual(["aborted"], aborted)
        self.assertEqual(MAX_BEHIND + 2, len(self.messages(reader)))

    def test_comments(self) -> None:
        """Comments are sent to detect lost readers. Without readers there is no timer."""
        first, second = self.watch(), self.watch()
        first.transport.clear()
        self.fleetIQ.clock.advance(COMMENT_SECONDS)
        self.fleetIQ.clock.advance(COMMENT_SECONDS)
        self.assertEqual(2, first.transport.value().count(b":\n\n"))
        first.disconnect()
        second.disconnect()
        self.register()
        self.fleetIQ.clock.advance(COMMENT_SECONDS)
        self.assertEqual(1, len(self.fleetIQ.clock.getDelayedCalls()), "only the expiry timer")
        third = self.watch()
        self.assertEqual(["registered", "call"], self.events(third))
        self.fleetIQ.call("DeregisterGameServer", **SRV_1)
        self.assertEqual(["deregistered", "call"], self.events(third), "sent once")

    def test_stop(self) -> None:
        """Stopping ends all streams and leaves no timer."""
        reader, stuck = self.watch(), self.watch()
        stuck.protocol.pauseProducing()
        self.register()
        stopped = self.fleetIQ.service.stopService()
        self.successResultOf(stopped)
        self.assertTrue(reader.transport.value().endswith(b"0\r\n\r\n"))
        self.assertTrue(reader.closed and stuck.closed)
        self.assertEqual([], self.fleetIQ.clock.getDelayedCalls())

    def test_head(self) -> None:
        """HEAD returns only headers, and POST is 405."""
        head = self.fleetIQ.request("HEAD", "/_local/events")
        self.assertEqual((200, b""), (head.status, head.body))
        self.assertEqual("no-store", head.headers["cache-control"])
        self.assertEqual(405, self.fleetIQ.request("POST", "/_local/events").status)

    def test_foreignPages(self) -> None:
        """Stream and journal reject pages of other origins and other hosts."""
        for path in ("/_local/events", "/_local/journal"):
            for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
                self.assertEqual(403, self.fleetIQ.request("GET", path, headers).status)
