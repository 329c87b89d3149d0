"""Auto Scaling of game server groups: target tracking, launches and terminations."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import settings as hypothesisSettings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.autoscaling import AutoScaling
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.settings import DEFAULTS, Settings
from echoserver.local.model.values import Event
from tests.groupcontract import NEW_GROUP
from tests.local.inmemory import MemoryFleetIQ

NEVER_DROPPED = 1e9


class Model:
    """A fleet with Auto Scaling, and a time that only advances."""

    def __init__(self, instances: int = 2, settings: Settings = DEFAULTS) -> None:
        self.events: list[Event] = []
        self.now = 0.0
        self.fleet = Fleet(self.events.append, NEVER_DROPPED, settings)
        self.scaling = AutoScaling(self.fleet, self.events.append, settings)
        self.fleet.addGroup("local", instances, 0.0)
        self.count = 0

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.scaling.expire(self.now)

    def register(self, instanceId: str, isUtilized: bool) -> str:
        self.count += 1
        gameServerId = f"srv-{self.count}"
        self.fleet.register("local", gameServerId, instanceId, None, None, self.now)
        if isUtilized:
            self.fleet.update("local", gameServerId, None, "UTILIZED", None, self.now)
        return gameServerId

    def fill(self, utilized: int, available: int) -> None:
        """Register game servers, in turn on all instances that do not end."""
        instances = self.fleet.groups(self.now).instances
        ids = [each for each in self.instanceIds() if instances[each].end is None]
        for index in range(utilized + available):
            self.register(ids[index % len(ids)], index < utilized)

    def instanceIds(self) -> list[str]:
        return list(self.fleet.groups(self.now).group("local").instanceIds)

    def kinds(self) -> list[str]:
        kinds = ("scaled", "launched", "interrupted", "terminated")
        return [each.event for each in self.events if each.event in kinds]

    def sentence(self, kind: str) -> str:
        return next(each.sentence for each in reversed(self.events) if each.event == kind)


class ScaleOutTests(SynchronousTestCase):
    """More instances."""

    def test_inProportion(self) -> None:
        """After three measurements above the target, capacity grows in proportion to the metric."""
        model = Model(4)
        model.fill(10, 0)
        model.advance(179)
        self.assertEqual([], model.kinds())
        model.advance(1)
        self.assertEqual(
            "scales from 4 to 6 instances: 100 % of the game servers are UTILIZED, "
            "the target is 70 %",
            model.sentence("scaled"),
        )
        self.assertEqual(4, len(model.instanceIds()))
        model.advance(5)
        self.assertEqual(["scaled", "launched", "launched"], model.kinds())
        self.assertEqual(6, len(set(model.instanceIds())))

    def test_interruptedBreach(self) -> None:
        """Measurements above the target must follow each other."""
        model = Model()
        model.fill(3, 0)
        model.advance(120)
        idle = [model.register(model.instanceIds()[0], False) for _ in range(3)]
        model.advance(60)
        for each in idle:
            model.fleet.deregister("local", each, model.now)
        model.advance(120)
        self.assertEqual([], model.kinds())
        model.advance(60)
        self.assertEqual(["scaled"], model.kinds())

    def test_warmup(self) -> None:
        """Instances that warm up do not count, so that one breach launches once."""
        model = Model(2, replace(DEFAULTS, scaleWarmup=600))
        model.fill(4, 0)
        model.advance(600)
        self.assertEqual(3, len(model.instanceIds()))
        model.advance(300)
        self.assertEqual(5, len(model.instanceIds()))

    def test_maxSize(self) -> None:
        """Capacity never exceeds MaxSize."""
        model = Model(2, replace(DEFAULTS, scaleMaxSize=3, scaleTarget=10))
        model.fill(4, 0)
        model.advance(3600)
        self.assertEqual(3, len(model.instanceIds()))

    def test_noGameServers(self) -> None:
        """Without game servers there is no metric, and nothing scales."""
        model = Model()
        model.advance(86400)
        self.assertEqual([], model.events)


class ScaleInTests(SynchronousTestCase):
    """Fewer instances."""

    def scaledOut(self, settings: Settings = DEFAULTS) -> Model:
        """Return a group of MinSize 1 with four instances."""
        model = Model(1, replace(settings, scaleMaxSize=4, scaleTarget=20))
        busy = model.register(model.instanceIds()[0], True)
        model.advance(600)
        self.assertEqual(4, len(model.instanceIds()))
        model.fleet.deregister("local", busy, model.now)
        model.events.clear()
        return model

    def test_idleInstances(self) -> None:
        """After 15 measurements below, idle instances get a notice, and end; MinSize stays."""
        model = self.scaledOut()
        first, *others = model.instanceIds()
        for each in (first, *others):
            model.register(each, False)
        model.register(others[1], True)
        for _ in range(9):
            model.register(first, False)
        model.advance(60 * 14)
        self.assertEqual([], model.kinds())
        model.advance(60)
        self.assertEqual(["scaled", "interrupted", "interrupted"], model.kinds())
        self.assertIn("is being terminated by Auto Scaling", model.sentence("interrupted"))
        ending = [each for each in model.fleet.groups(model.now).instances.values() if each.end]
        kept = [each for each in others if each not in [each.instanceId for each in ending]]
        self.assertEqual((first, "DRAINING"), (ending[0].instanceId, ending[0].status))
        self.assertIn(others[1], kept)
        model.advance(120)
        self.assertEqual(kept, model.instanceIds())

    def test_utilizedInstancesStay(self) -> None:
        """An instance with a claim or a session is not terminated while others are needed less."""
        model = self.scaledOut()
        ids = model.instanceIds()
        for each in ids:
            model.register(each, True)
        for each in ids:
            for _ in range(50):
                model.register(each, False)
        model.advance(60 * 60)
        self.assertEqual(["scaled"], model.kinds())
        self.assertEqual(ids, model.instanceIds())

    def test_endsWhenIdle(self) -> None:
        """The desired capacity falls at once; an instance ends later, when its session is over."""
        model = self.scaledOut()
        ids = model.instanceIds()
        sessions = [model.register(each, True) for each in ids]
        for _ in range(200):
            model.register(ids[0], False)
        model.advance(60 * 20)
        model.fleet.deregister("local", sessions[2], model.now)
        model.advance(60)
        self.assertEqual("interrupted", model.kinds()[-1])
        model.advance(120)
        self.assertNotIn(ids[2], model.instanceIds())

    def test_unprotected(self) -> None:
        """With the setting, only game server protection keeps instances with sessions."""
        for policy, instances in (("NO_PROTECTION", 1), ("FULL_PROTECTION", 4)):
            model = self.scaledOut(replace(DEFAULTS, scaleInUtilized="terminate"))
            model.fleet.groups(model.now).update("local", None, None, None, policy, model.now)
            ids = model.instanceIds()
            for each in ids:
                model.register(each, True)
            for _ in range(200):
                model.register(ids[0], False)
            model.advance(60 * 18)
            self.assertEqual(instances, len(model.instanceIds()), policy)


class CapacityTests(SynchronousTestCase):
    """The desired capacity is kept."""

    def test_replaced(self) -> None:
        """An instance that Spot interrupts is replaced by one with a new id."""
        model = Model()
        model.advance(60)
        first, second = model.instanceIds()
        model.fleet.interrupt(first, "spot", 90.0, model.now)
        model.advance(125)
        self.assertEqual(["interrupted", "terminated", "launched"], model.kinds())
        self.assertEqual(second, model.instanceIds()[0])
        self.assertNotIn(first, model.instanceIds())

    def test_longAdvance(self) -> None:
        """When a year passes at once, periods that change nothing are skipped."""
        model = Model()
        model.fill(1, 1)
        model.advance(365 * 86400.0)
        self.assertEqual([], model.kinds())
        self.assertTrue(0 < model.scaling.nextDeadline() - model.now <= 60)
        model.register(model.instanceIds()[0], True)
        model.register(model.instanceIds()[0], True)
        model.register(model.instanceIds()[0], True)
        model.advance(180)
        self.assertEqual(["scaled"], model.kinds())

    @hypothesisSettings(deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 20), st.integers(0, 20), st.floats(1, 3000)),
            min_size=1,
            max_size=5,
        )
    )
    def test_anyLoad(self, loads: list[tuple[int, int, float]]) -> None:
        """With any load, the size is from MinSize to MaxSize, and no instance with players ends."""
        model = Model(2, replace(DEFAULTS, scaleMaxSize=5))
        for utilized, available, seconds in loads:
            for each in list(model.fleet.allGameServers(model.now)):
                model.fleet.deregister("local", each.gameServerId, model.now)
            model.fill(utilized, available)
            model.advance(seconds)
            self.assertTrue(2 <= len(model.instanceIds()) <= 7)
            self.assertEqual(
                utilized,
                sum(each.utilized for each in model.fleet.allGameServers(model.now)),
            )


class LocalFleetIQTests(SynchronousTestCase):
    """The whole local FleetIQ, with and without Auto Scaling."""

    def test_policy(self) -> None:
        """A group that is created scales by its own policy, and its instances have metadata."""
        fleetIQ = MemoryFleetIQ(autoscale=True)
        name = NEW_GROUP["GameServerGroupName"]
        policy = {
            "EstimatedInstanceWarmup": 10,
            "TargetTrackingConfiguration": {"TargetValue": 25},
        }
        fleetIQ.call(
            "CreateGameServerGroup",
            **{**NEW_GROUP, "MinSize": 1, "MaxSize": 3, "AutoScalingPolicy": policy},
        )
        fleetIQ.clock.pump([1] * 5)
        instances = self.instances(fleetIQ, name)
        one = {"GameServerGroupName": name, "GameServerId": "srv-1"}
        fleetIQ.call("RegisterGameServer", InstanceId=instances[0], **one)
        fleetIQ.call("UpdateGameServer", UtilizationStatus="UTILIZED", **one)
        fleetIQ.control("clock", {"advance": 179})
        self.assertEqual(1, len(self.instances(fleetIQ, name)))
        fleetIQ.clock.pump([1] * 10)
        new = self.instances(fleetIQ, name)[1:]
        self.assertEqual(2, len(new))
        path = f"/instances/{new[0]}/latest/meta-data/autoscaling/target-lifecycle-state"
        self.assertEqual(b"InService", fleetIQ.request("GET", path).body)
        fleetIQ.control("reset", {})
        self.assertEqual(2, len(fleetIQ.state()["instances"]))

    def test_without(self) -> None:
        """Without Auto Scaling an instance that ended is not replaced, and no timer runs."""
        fleetIQ = MemoryFleetIQ()
        self.assertEqual([], fleetIQ.clock.getDelayedCalls())
        fleetIQ.control("interrupt", {"InstanceId": self.instances(fleetIQ, "local")[0]})
        fleetIQ.control("clock", {"advance": 3600})
        self.assertEqual(1, len(self.instances(fleetIQ, "local")))

    def instances(self, fleetIQ: MemoryFleetIQ, group: str) -> list[str]:
        return [
            each["InstanceId"]
            for each in fleetIQ.state()["instances"]
            if each["GameServerGroupName"] == group
        ]
