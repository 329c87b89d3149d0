"""All is as at the start."""

import json

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.values import instanceIdOf
from tests.groupcontract import NEW_GROUP
from tests.local.inmemory import MemoryFleetIQ, callHeaders, requestBytes

FIRST = instanceIdOf("local", 0)
GROUP = {"GameServerGroupName": "local"}
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


class ResetControlTests(SynchronousTestCase):
    """A whole local FleetIQ in memory, much changed."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ(seed=1, timeScale=2.0)
        self.start = self.fleetIQ.state()

    def reset(self) -> None:
        self.assertEqual(200, self.fleetIQ.ask("POST", "/_local/reset").status)

    def register(self) -> int:
        return self.fleetIQ.call(
            "RegisterGameServer", GameServerId="srv-1", InstanceId=FIRST, **GROUP
        ).status

    def change(self) -> None:
        self.register()
        self.fleetIQ.call("CreateGameServerGroup", **NEW_GROUP)
        self.fleetIQ.call("ClaimGameServer", **GROUP)
        self.fleetIQ.tell("interrupt", {"InstanceId": FIRST})
        self.fleetIQ.tell("clock", {"advance": 130, "scale": 60})
        self.fleetIQ.tell("faults", {"operation": "*", "kind": "throttle"})
        self.fleetIQ.call("DeleteGameServerGroup", **GROUP)

    def test_asAtTheStart(self) -> None:
        """Groups, instances, game servers, faults, calls and the clock are the start's."""
        self.change()
        self.reset()
        self.assertEqual(self.start, self.fleetIQ.state())
        self.assertEqual([], self.fleetIQ.clock.getDelayedCalls())

    def test_livesOn(self) -> None:
        """What is done after it is not touched by what was done before it."""
        for _ in range(2):
            self.assertEqual(200, self.register())
            self.assertEqual(200, self.fleetIQ.tell("interrupt", {"InstanceId": FIRST}).status)
            self.fleetIQ.clock.advance(30)
            self.reset()
        self.register()
        with capturedLogs() as events:
            self.fleetIQ.clock.advance(89)
        self.assertEqual([], events)
        with capturedLogs() as events:
            self.fleetIQ.clock.pump([1, 1])
        self.assertEqual(
            ["srv-1 dropped: last health report 182 s ago"],
            [formatEvent(event) for event in events],
        )

    def test_tokensEnd(self) -> None:
        """No token outlives it, even with a seed: the clock may have gone back."""
        token = self.fleetIQ.ask("PUT", "/latest/api/token", {TTL: "60"}).body.decode()
        path = "/latest/meta-data/instance-id"
        self.assertEqual(200, self.fleetIQ.ask("GET", path, {TOKEN: token}).status)
        self.reset()
        self.assertEqual(401, self.fleetIQ.ask("GET", path, {TOKEN: token}).status)
        token = self.fleetIQ.ask("PUT", "/latest/api/token", {TTL: "60"}).body.decode()
        self.assertEqual(200, self.fleetIQ.ask("GET", path, {TOKEN: token}).status)

    def test_faultsRepeat(self) -> None:
        """With a seed, faults strike the same calls again."""
        struck = []
        for _ in range(2):
            order = {"operation": "*", "kind": "error", "code": "E", "probability": 0.5}
            self.fleetIQ.tell("faults", order)
            struck.append([self.fleetIQ.call("ListGameServerGroups").status for _ in range(20)])
            self.reset()
        self.assertEqual(struck[0], struck[1])
        self.assertEqual({200, 400}, {*struck[0]})

    def test_quotas(self) -> None:
        """All calls that the quotas allow at once are allowed again."""
        self.fleetIQ = MemoryFleetIQ(quotas=True)
        for _ in range(2):
            calls = [self.fleetIQ.call("ListGameServerGroups").status for _ in range(31)]
            self.assertEqual([200] * 30 + [400], calls)
            self.reset()

    def test_waitingCallsAreForgotten(self) -> None:
        """A call that waits never takes effect, and its connection closes."""
        self.fleetIQ.tell("faults", {"operation": "*", "kind": "slow", "seconds": 2})
        call = {"GameServerId": "srv-1", "InstanceId": FIRST, **GROUP}
        request = requestBytes(
            "POST", "/", callHeaders("RegisterGameServer"), json.dumps(call).encode()
        )
        patient, gone = self.fleetIQ.connect(), self.fleetIQ.connect()
        for each in (patient, gone):
            each.send(request)
        gone.hangUp()
        self.reset()
        self.assertFalse(patient.transport.connected)
        self.fleetIQ.clock.advance(3)
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_told(self) -> None:
        """The journal and the log begin anew, with the word that all did."""
        self.change()
        with capturedLogs() as events:
            self.reset()
        self.assertEqual(["reset: all is as at the start"], [formatEvent(each) for each in events])
        [entry] = self.fleetIQ.ask("GET", "/_local/journal").json["entries"]
        self.assertEqual(("reset", 1_700_000_000.0), (entry["event"], entry["time"]))
