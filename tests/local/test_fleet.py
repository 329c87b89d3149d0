"""Operations on game servers, compared with a simple model; and the events that they report."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import Event, FleetIQError, GameServer, instanceIdOf

GROUPS = ("one", "two")
INSTANCES = {name: [instanceIdOf(name, index) for index in range(3)] for name in GROUPS}
EVERY_INSTANCE = [each for ids in INSTANCES.values() for each in ids]

groups = st.sampled_from(["one", "one", "one", "two"])
ids = st.sampled_from([f"srv-{number}" for number in range(12)])
START = 1_700_000_000.0


class SimpleModel:
    """The same rules, without indexes and deadlines."""

    def __init__(self) -> None:
        self.servers: list[GameServer] = []
        self.statuses = dict.fromkeys(EVERY_INSTANCE, "ACTIVE")
        self.kinds: dict[str, list[str]] = {each: [] for each in EVERY_INSTANCE}
        self.ends: dict[str, float] = {}
        self.drops: Counter[tuple[str, bool]] = Counter()
        self.serial = 0

    def expire(self, now: float) -> None:
        servers, self.servers = self.servers, []
        for each in servers:
            deadline = each.lastHealthCheckTime + 180
            end = self.ends.get(each.instanceId, now + 1)
            if now > deadline or now >= end:
                self.drops[each.gameServerId, end <= deadline] += 1
            else:
                claimed = each.claimed and now < (each.lastClaimTime or 0) + 60
                self.servers.append(replace(each, claimed=claimed))
        for instance, end in self.ends.items():
            if now >= end:
                self.statuses.pop(instance, None)

    def find(self, group: str, gameServerId: str) -> GameServer:
        for each in self.servers:
            if (each.groupName, each.gameServerId) == (group, gameServerId):
                return each
        raise FleetIQError("NotFoundException", "")

    def put(self, before: GameServer, after: GameServer) -> GameServer:
        self.servers[self.servers.index(before)] = after
        return after

    def register(self, group: str, gameServerId: str, instance: str, now: float) -> GameServer:
        if instance not in INSTANCES[group] or instance not in self.statuses:
            raise FleetIQError("InvalidRequestException", "")
        if instance in self.ends or any(each.gameServerId == gameServerId for each in self.servers):
            raise FleetIQError("ConflictException", "")
        self.serial += 1
        server = GameServer(self.serial, group, gameServerId, instance, None, None, now, now)
        self.servers.append(server)
        return server

    def update(
        self, group: str, gameServerId: str, status: str | None, health: str | None, now: float
    ) -> GameServer:
        server = self.find(group, gameServerId)
        if server.utilized and status == "AVAILABLE":
            raise FleetIQError("InvalidRequestException", "")
        after = server
        if status == "UTILIZED":
            after = replace(after, utilized=True, claimed=False)
        if health:
            after = replace(after, lastHealthCheckTime=now)
        return self.put(server, after)

    def busyOn(self, instance: str) -> int:
        return sum(
            each.instanceId == instance and (each.claimed or each.utilized) for each in self.servers
        )

    def claim(
        self, group: str, gameServerId: str | None, statuses: list[str] | None, now: float
    ) -> GameServer:
        if statuses is not None and "ACTIVE" not in statuses:
            raise FleetIQError("InvalidRequestException", "")
        allowed = ["ACTIVE", "DRAINING"] if statuses is None else statuses
        if gameServerId is not None:
            server = self.find(group, gameServerId)
            status = self.statuses[server.instanceId]
            if server.utilized or server.claimed or status not in allowed:
                raise FleetIQError("ConflictException", "")
        else:
            free = [
                each
                for each in self.servers
                if each.groupName == group
                and not each.claimed
                and not each.utilized
                and self.statuses[each.instanceId] in allowed
            ]
            if not free:
                raise FleetIQError("OutOfCapacityException", "")
            server = min(
                free,
                key=lambda each: (
                    self.statuses[each.instanceId] != "ACTIVE",
                    -self.busyOn(each.instanceId),
                    each.instanceId,
                    each.serial,
                ),
            )
        return self.put(server, replace(server, claimed=True, lastClaimTime=now))

    def interrupt(
        self, instance: str, kind: str, seconds: float | None, now: float
    ) -> tuple[str, float | None]:
        hasEnd = kind in ("spot", "autoscaling")
        if instance not in self.statuses:
            raise FleetIQError("NotFoundException", "")
        if instance in self.ends or kind in self.kinds[instance]:
            raise FleetIQError("ConflictException", "")
        if seconds and not hasEnd:
            raise FleetIQError("InvalidRequestException", "")
        self.kinds[instance].append(kind)
        if hasEnd:
            self.ends[instance] = now + (seconds or 120)
        if kind != "rebalance":
            self.statuses[instance] = "SPOT_TERMINATING" if kind == "spot" else "DRAINING"
        return self.statuses[instance], self.ends.get(instance)


class FleetMachine(RuleBasedStateMachine):
    """After any operations and advances, the fleet and the simple model are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.events: list[Event] = []
        self.model = SimpleModel()
        self.fleet = Fleet(self.events.append)
        for name in GROUPS:
            self.fleet.addGroup(name, 3, self.now)

    def both(self, real: object, simple: object) -> None:
        """Call both. They must return equal values, or raise errors with the same code."""
        self.model.expire(self.now)
        results = []
        for function in (real, simple):
            try:
                results.append(function())  # type: ignore[operator] # a closure
            except FleetIQError as error:
                results.append(error.code)
        assert results[0] == results[1], results

    @rule(group=groups, gameServerId=ids, instance=st.sampled_from(EVERY_INSTANCE))
    def register(self, group: str, gameServerId: str, instance: str) -> None:
        self.both(
            lambda: self.fleet.register(group, gameServerId, instance, None, None, self.now),
            lambda: self.model.register(group, gameServerId, instance, self.now),
        )

    @rule(registrations=st.lists(st.tuples(ids, st.sampled_from(INSTANCES["one"]))))
    def fill(self, registrations: list[tuple[str, str]]) -> None:
        """Register several game servers. Most registrations succeed."""
        for gameServerId, instance in registrations:
            self.register("one", gameServerId, instance)

    @rule(times=st.integers(1, 5))
    def claimNext(self, times: int) -> None:
        for _ in range(times):
            self.claim("one", None, None)

    @rule(
        group=groups,
        gameServerId=ids,
        status=st.sampled_from([None, "AVAILABLE", "UTILIZED"]),
        health=st.sampled_from([None, "HEALTHY"]),
    )
    def update(self, group: str, gameServerId: str, status: str | None, health: str | None) -> None:
        self.both(
            lambda: self.fleet.update(group, gameServerId, None, status, health, self.now),
            lambda: self.model.update(group, gameServerId, status, health, self.now),
        )

    @rule(group=groups, gameServerId=ids)
    def deregister(self, group: str, gameServerId: str) -> None:
        self.both(
            lambda: self.fleet.deregister(group, gameServerId, self.now),
            lambda: self.model.servers.remove(self.model.find(group, gameServerId)),
        )

    @rule(
        group=groups,
        gameServerId=st.none() | ids,
        statuses=st.sampled_from([None, None, ["ACTIVE"], ["DRAINING"], ["DRAINING", "ACTIVE"]]),
    )
    def claim(self, group: str, gameServerId: str | None, statuses: list[str] | None) -> None:
        self.both(
            lambda: self.fleet.claim(group, gameServerId, None, statuses, self.now),
            lambda: self.model.claim(group, gameServerId, statuses, self.now),
        )

    @rule(
        instance=st.sampled_from(EVERY_INSTANCE),
        kind=st.sampled_from(["spot", "rebalance", "autoscaling", "draining"]),
        seconds=st.sampled_from([None, None, 30, 170, 600]),
    )
    def interrupt(self, instance: str, kind: str, seconds: float | None) -> None:
        def real() -> tuple[str, float | None]:
            after = self.fleet.interrupt(instance, kind, seconds, self.now)
            return after.status, after.end

        self.both(real, lambda: self.model.interrupt(instance, kind, seconds, self.now))

    @rule(seconds=st.sampled_from([0.001, 1, 20, 59, 60, 61, 120, 179.999, 180, 180.001]))
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.fleet.nextDeadline() is not None)
    @rule()
    def advanceToDeadline(self) -> None:
        self.now = max(self.now, self.fleet.nextDeadline() or 0)

    @invariant()
    def sameServers(self) -> None:
        self.model.expire(self.now)
        for name in GROUPS:
            expected = [each for each in self.model.servers if each.groupName == name]
            found, more = self.fleet.gameServers(name, self.now)
            assert (expected, False) == (found, more)

    @invariant()
    def sameInstances(self) -> None:
        self.model.expire(self.now)
        instances = self.fleet.groups(self.now).instances
        assert self.model.statuses == {each: instances[each].status for each in instances}
        for name in GROUPS:
            group = self.fleet.groups(self.now).group(name)
            assert sorted(group.instanceIds) == list(group.sortedInstanceIds)
            assert {*group.instanceIds} == {*INSTANCES[name]}.intersection(instances)

    @invariant()
    def dropReasons(self) -> None:
        """Each drop is reported with its first reason: the end of the instance, or the timeout."""
        self.model.expire(self.now)
        self.fleet.expire(self.now)
        assert self.model.drops == Counter(
            (each.gameServerId, each.sentence.startswith("dropped: its instance was terminated ("))
            for each in self.events
            if each.event == "dropped"
        )

    @invariant()
    def dropsAreReported(self) -> None:
        here = len(list(self.fleet.allGameServers(self.now)))
        gone = sum(each.event in ("dropped", "deregistered") for each in self.events)
        assert self.model.serial == here + gone


class FleetMachineTests(SynchronousTestCase):
    """Runs the state machine."""

    def test_equalsModel(self) -> None:
        """Any operations and advances have the results of the simple model."""
        run_state_machine_as_test(
            FleetMachine, settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
        )


class EventTests(SynchronousTestCase):
    """The events of one game server, and error messages."""

    def setUp(self) -> None:
        self.events: list[Event] = []
        self.fleet = Fleet(self.events.append)
        self.fleet.addGroup("one", 1, START)
        [self.instance] = self.fleet.groups(START).group("one").instanceIds
        self.fleet.register("one", "srv-1", self.instance, None, None, START)

    def reported(self) -> list[tuple[str, str]]:
        return [(each.event, each.sentence) for each in self.events]

    def test_dropIsExplained(self) -> None:
        """The event of a drop has its reason."""
        self.fleet.expire(START + 180)
        self.assertEqual("registered", self.reported()[-1][0])
        self.fleet.expire(START + 181)
        self.assertEqual(("dropped", "dropped: last health report 181 s ago"), self.reported()[-1])

    def test_life(self) -> None:
        """Each change is one event. A repeated UTILIZED is not reported."""
        self.fleet.claim("one", None, None, None, START)
        self.fleet.expire(START + 60)
        self.fleet.update("one", "srv-1", None, "UTILIZED", None, START + 61)
        self.fleet.update("one", "srv-1", None, "UTILIZED", None, START + 62)
        self.fleet.deregister("one", "srv-1", START + 63)
        self.assertEqual(
            [
                ("registered", f"registered on {self.instance}, AVAILABLE"),
                ("claimed", "CLAIMED for 60 s"),
                ("claim-expired", "claim expired: not UTILIZED within 60 s, free again"),
                ("utilized", "UTILIZED"),
                ("deregistered", "deregistered after 63 s"),
            ],
            self.reported(),
        )

    def test_errorMessages(self) -> None:
        """A message contains the name in the request and the names that exist."""
        error = self.assertRaises(FleetIQError, self.fleet.groups(START).group, "two")
        self.assertEqual(
            "Game server group two does not exist. This FleetIQ has one.", error.message
        )
        error = self.assertRaises(
            FleetIQError, self.fleet.register, "one", "srv-2", "i-x", None, None, START
        )
        self.assertEqual(
            f"Instance i-x is not in game server group one, which has {self.instance}.",
            error.message,
        )

    def test_targetOnInterruptedInstance(self) -> None:
        """A claim by id succeeds on a DRAINING instance, if the filter allows it."""
        for now, kind, status, statuses in (
            (START, "draining", "DRAINING", ["ACTIVE"]),
            (START + 60, "spot", "SPOT_TERMINATING", None),
        ):
            self.fleet.interrupt(self.instance, kind, None, now)
            error = self.assertRaises(
                FleetIQError, self.fleet.claim, "one", "srv-1", None, statuses, now
            )
            self.assertEqual("ConflictException", error.code)
            self.assertIn(f"on an instance that is {status}", error.message)
            if kind == "draining":
                self.assertTrue(self.fleet.claim("one", "srv-1", None, None, now).claimed)

    def test_nextDeadline(self) -> None:
        """The next deadline is the claim's, then that of the health report, then none."""
        self.fleet.claim("one", None, None, None, START)
        self.assertEqual(START + 60, self.fleet.nextDeadline())
        self.fleet.expire(START + 60)
        self.assertEqual(START + 180, self.fleet.nextDeadline())
        self.fleet.expire(START + 181)
        self.assertIsNone(self.fleet.nextDeadline())

    def test_instanceIdsSurviveRestart(self) -> None:
        """The id of an instance depends only on its group and number, and has EC2's form."""
        self.assertEqual("i-0220623ef0df7e558", instanceIdOf("local", 0))
        self.assertRegex(instanceIdOf("other", 7), r"^i-[0-9a-f]{17}$")
