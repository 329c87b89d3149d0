"""The stream of the page: the whole state, then what changes in it."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.live import BATCH_SECONDS, PLAYERS_SECONDS
from echoserver.local.model.journal import MAX_DETAIL_LENGTH
from echoserver.local.model.values import instanceIdOf
from tests.local.inmemory import Connection, MemoryFleetIQ, requestBytes

INSTANCE = instanceIdOf("local", 0)
SRV_1 = {"GameServerGroupName": "local", "GameServerId": "srv-1"}


class LiveTests(SynchronousTestCase):
    """C{GET /_local/live}"""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def register(self, name: str = "srv-1") -> None:
        self.fleetIQ.call(
            "RegisterGameServer", **{**SRV_1, "GameServerId": name}, InstanceId=INSTANCE
        )

    def open(self) -> Connection:
        connection = self.fleetIQ.connect()
        connection.send(requestBytes("GET", "/_local/live", {}, b""))
        return connection

    def messages(self, connection: Connection) -> list[Any]:
        """Return the messages since the last call, after the time that a batch takes."""
        self.fleetIQ.clock.advance(BATCH_SECONDS)
        lines = connection.transport.value().split(b"\n")
        connection.transport.clear()
        return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]

    def test_first(self) -> None:
        """The first message has everything that exists."""
        self.register()
        self.fleetIQ.control("interrupt", {"InstanceId": INSTANCE, "kind": "spot", "seconds": 90})
        self.fleetIQ.control("faults", {"operation": "*", "kind": "slow", "seconds": 1})
        [message] = self.messages(self.open())
        self.assertTrue(message["full"])
        self.assertEqual(
            (180, 60, 1),
            tuple(message[each] for each in ("healthTimeout", "claimSeconds", "timeScale")),
        )
        self.assertEqual(["srv-1"], [each["GameServerId"] for each in message["gameServers"]])
        self.assertEqual(["local"], [each["GameServerGroupName"] for each in message["groups"]])
        [first, second] = message["instances"]
        self.assertEqual(
            (INSTANCE, "SPOT_TERMINATING", "c5.large"),
            tuple(first[each] for each in ("InstanceId", "InstanceStatus", "InstanceType")),
        )
        self.assertEqual(
            [("spot", 1_700_000_090.0)],
            [(each["kind"], each["end"]) for each in first["interruptions"]],
        )
        self.assertEqual([], second["interruptions"])
        self.assertEqual(["slow"], [each["kind"] for each in message["faults"]])
        self.assertEqual(
            ["registered", "call", "interrupted", "fault"],
            [each["event"] for each in message["entries"]],
        )

    def test_changes(self) -> None:
        """A message has the new entries, and the game servers that they name as they are now."""
        self.register()
        stream = self.open()
        self.messages(stream)
        for _ in range(3):
            self.fleetIQ.call("UpdateGameServer", **SRV_1, HealthCheck="HEALTHY")
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local")
        [message] = self.messages(stream)
        self.assertEqual(
            ["call"] * 3 + ["claimed", "call"], [each["event"] for each in message["entries"]]
        )
        [server] = message["gameServers"]
        self.assertEqual("CLAIMED", server["ClaimStatus"])
        self.assertNotIn("instances", message)

    def test_gone(self) -> None:
        """A game server that is gone is in no list; the entry has the reason."""
        self.register()
        stream = self.open()
        self.messages(stream)
        self.fleetIQ.clock.advance(182)
        messages = [each for each in self.messages(stream) if each["entries"]]
        self.assertEqual([[]], [each["gameServers"] for each in messages])
        self.assertEqual("dropped", messages[0]["entries"][0]["event"])
        self.assertIn("last health report", messages[0]["entries"][0]["sentence"])

    def test_instances(self) -> None:
        """A change of an instance or a group is followed by all of them."""
        stream = self.open()
        self.messages(stream)
        self.fleetIQ.control("interrupt", {"InstanceId": INSTANCE, "kind": "draining"})
        [message] = self.messages(stream)
        self.assertEqual(
            ["DRAINING", "ACTIVE"], [each["InstanceStatus"] for each in message["instances"]]
        )

    def test_reset(self) -> None:
        """After a reset the stream has everything again."""
        self.register()
        stream = self.open()
        self.messages(stream)
        self.fleetIQ.control("reset", {})
        [message] = self.messages(stream)
        self.assertEqual((True, []), (message["full"], message["gameServers"]))
        self.register("srv-2")
        [message] = self.messages(stream)
        self.assertNotIn("full", message)

    def test_secondReader(self) -> None:
        """A second page receives each entry once, and so does the first one."""
        first = self.open()
        self.messages(first)
        self.register()
        second = self.open()
        got = [
            [entry["event"] for message in self.messages(each) for entry in message["entries"]]
            for each in (first, second)
        ]
        self.assertEqual([["registered", "call"]] * 2, got)

    def test_details(self) -> None:
        """Calls have input and output only while a page is open, and C{/_local/events} never."""
        self.register("srv-0")
        stream = self.open()
        self.register()
        self.fleetIQ.call("ClaimGameServer", GameServerGroupName="local", GameServerId="srv-x")
        entries = [
            each
            for message in self.messages(stream)
            for each in message["entries"]
            if each["event"] == "call"
        ]
        before, registered, refused = entries
        self.assertEqual((None, None), (before["input"], before["output"]))
        self.assertEqual({**SRV_1, "InstanceId": INSTANCE}, json.loads(registered["input"]))
        self.assertEqual("srv-1", json.loads(registered["output"])["GameServer"]["GameServerId"])
        self.assertEqual("srv-x", json.loads(refused["input"])["GameServerId"])
        self.assertIsNone(refused["output"])
        stream.disconnect()
        self.register("srv-2")
        [message] = self.messages(self.open())
        self.assertIsNone(message["entries"][-1]["input"])
        self.assertNotIn(
            "input", self.fleetIQ.request("GET", "/_local/journal").json["entries"][-1]
        )

    def test_longDetails(self) -> None:
        """A long input is cut."""
        stream = self.open()
        self.fleetIQ.call("RegisterGameServer", **SRV_1, InstanceId=INSTANCE, Unknown="x" * 10000)
        [*_, message] = self.messages(stream)
        self.assertEqual(MAX_DETAIL_LENGTH, len(message["entries"][-1]["input"]))

    def test_players(self) -> None:
        """The players of game servers of this process are shown, when their number changes."""
        players = {"srv-1": 1}
        self.fleetIQ.service.showPlayers(lambda: players)
        stream = self.open()
        self.messages(stream)
        self.fleetIQ.clock.advance(PLAYERS_SECONDS)
        [message] = self.messages(stream)
        self.assertEqual({"srv-1": 1}, message["players"])
        self.fleetIQ.clock.advance(PLAYERS_SECONDS)
        self.assertEqual([], self.messages(stream))

    def test_noTimerWithoutPage(self) -> None:
        """Without a page no timer is left, and the journal keeps no details."""
        stream = self.open()
        self.register()
        stream.disconnect()
        timers = self.fleetIQ.clock.getDelayedCalls()
        self.register("srv-2")
        self.assertEqual(len(timers), len(self.fleetIQ.clock.getDelayedCalls()))

    def test_slowReader(self) -> None:
        """A page that does not read is disconnected after a bounded number of messages."""
        stream = self.open()
        producer: Any = stream.transport.producer
        producer.pauseProducing()
        self.register()
        for _ in range(400):
            if stream.closed:
                break
            self.fleetIQ.call("UpdateGameServer", **SRV_1, HealthCheck="HEALTHY")
            self.fleetIQ.clock.advance(BATCH_SECONDS)
        self.assertTrue(stream.closed)

    def test_stop(self) -> None:
        """The stream ends with the local FleetIQ."""
        stream = self.open()
        self.fleetIQ.service.stopService()
        self.assertTrue(stream.closed or stream.transport.disconnecting)
