"""The rules of state.py against a model so naive that it is plainly right; and its sentences."""

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


class NaiveModel:
    """The same rules by looking at everything, every time."""

    def __init__(self) -> None:
        self.servers: list[GameServer] = []
        self.statuses = dict.fromkeys(EVERY_INSTANCE, "ACTIVE")
        self.kinds: dict[str, list[str]] = {each: [] for each in EVERY_INSTANCE}
        self.ends: dict[str, float] = {}
        self.drops: Counter[tuple[str, bool]] = Counter()
        self.serial = 0

    def pass_(self, now: float) -> None:
        servers, self.servers = self.servers, []
        for each in servers:
            lapse = each.lastHealthCheckTime + 180
            end = self.ends.get(each.instanceId, now + 1)
            if now > lapse or now >= end:
                self.drops[each.gameServerId, end <= lapse] += 1
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

    def hosted(self, instance: str) -> int:
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
                    -self.hosted(each.instanceId),
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
    """Any operations and clock moves: the state and the naive model give the same answers."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.events: list[Event] = []
        self.model = NaiveModel()
        self.state = Fleet(self.events.append)
        for name in GROUPS:
            self.state.addGroup(name, 3, self.now)

    def both(self, real: object, naive: object) -> None:
        """Run both; they must give equal game servers, or refuse with the same code."""
        self.model.pass_(self.now)
        answers = []
        for act in (real, naive):
            try:
                answers.append(act())  # type: ignore[operator] # two closures
            except FleetIQError as refusal:
                answers.append(refusal.code)
        assert answers[0] == answers[1], answers

    @rule(group=groups, gameServerId=ids, instance=st.sampled_from(EVERY_INSTANCE))
    def register(self, group: str, gameServerId: str, instance: str) -> None:
        self.both(
            lambda: self.state.register(group, gameServerId, instance, None, None, self.now),
            lambda: self.model.register(group, gameServerId, instance, self.now),
        )

    @rule(registrations=st.lists(st.tuples(ids, st.sampled_from(INSTANCES["one"]))))
    def fill(self, registrations: list[tuple[str, str]]) -> None:
        """Most registrations succeed, or the machine would see too little."""
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
            lambda: self.state.update(group, gameServerId, None, status, health, self.now),
            lambda: self.model.update(group, gameServerId, status, health, self.now),
        )

    @rule(group=groups, gameServerId=ids)
    def deregister(self, group: str, gameServerId: str) -> None:
        self.both(
            lambda: self.state.deregister(group, gameServerId, self.now),
            lambda: self.model.servers.remove(self.model.find(group, gameServerId)),
        )

    @rule(
        group=groups,
        gameServerId=st.none() | ids,
        statuses=st.sampled_from([None, None, ["ACTIVE"], ["DRAINING"], ["DRAINING", "ACTIVE"]]),
    )
    def claim(self, group: str, gameServerId: str | None, statuses: list[str] | None) -> None:
        self.both(
            lambda: self.state.claim(group, gameServerId, None, statuses, self.now),
            lambda: self.model.claim(group, gameServerId, statuses, self.now),
        )

    @rule(
        instance=st.sampled_from(EVERY_INSTANCE),
        kind=st.sampled_from(["spot", "rebalance", "autoscaling", "draining"]),
        seconds=st.sampled_from([None, None, 30, 170, 600]),
    )
    def interrupt(self, instance: str, kind: str, seconds: float | None) -> None:
        def real() -> tuple[str, float | None]:
            after = self.state.interrupt(instance, kind, seconds, self.now)
            return after.status, after.end

        self.both(real, lambda: self.model.interrupt(instance, kind, seconds, self.now))

    @rule(seconds=st.sampled_from([0.001, 1, 20, 59, 60, 61, 120, 179.999, 180, 180.001]))
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.state.nextDeadline() is not None)
    @rule()
    def advanceToDeadline(self) -> None:
        self.now = max(self.now, self.state.nextDeadline() or 0)

    @invariant()
    def sameServers(self) -> None:
        self.model.pass_(self.now)
        for name in GROUPS:
            expected = [each for each in self.model.servers if each.groupName == name]
            found, more = self.state.gameServers(name, self.now)
            assert (expected, False) == (found, more)

    @invariant()
    def sameInstances(self) -> None:
        self.model.pass_(self.now)
        instances = self.state.groups(self.now).instances
        assert self.model.statuses == {each: instances[each].status for each in instances}
        for name in GROUPS:
            group = self.state.groups(self.now).group(name)
            assert sorted(group.instanceIds) == list(group.sortedInstanceIds)
            assert {*group.instanceIds} == {*INSTANCES[name]}.intersection(instances)

    @invariant()
    def eachDropIsExplained(self) -> None:
        """By what was first: the end of its instance, or of its health."""
        self.model.pass_(self.now)
        self.state.expire(self.now)
        assert self.model.drops == Counter(
            (each.gameServerId, each.sentence.startswith("dropped: its instance was terminated ("))
            for each in self.events
            if each.event == "dropped"
        )

    @invariant()
    def eachDropIsTold(self) -> None:
        here = len(list(self.state.allGameServers(self.now)))
        gone = sum(each.event in ("dropped", "deregistered") for each in self.events)
        assert self.model.serial == here + gone


class FleetMachineTests(SynchronousTestCase):
    """The state machine, as trial finds it."""

    def test_sameAnswersAsTheModel(self) -> None:
        """Any sequence of operations and clock moves has the answers of the naive model."""
        run_state_machine_as_test(
            FleetMachine, settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
        )


class SentenceTests(SynchronousTestCase):
    """What happens is told, in order, in sentences."""

    def setUp(self) -> None:
        self.events: list[Event] = []
        self.state = Fleet(self.events.append)
        self.state.addGroup("one", 1, START)
        [self.instance] = self.state.groups(START).group("one").instanceIds
        self.state.register("one", "srv-1", self.instance, None, None, START)

    def told(self) -> list[tuple[str, str]]:
        return [(each.event, each.sentence) for each in self.events]

    def test_dropIsExplained(self) -> None:
        """A game server that was dropped leaves the reason."""
        self.state.expire(START + 180)
        self.assertEqual("registered", self.told()[-1][0])
        self.state.expire(START + 181)
        self.assertEqual(("dropped", "dropped: last health report 181 s ago"), self.told()[-1])

    def test_life(self) -> None:
        """Claimed, expired, UTILIZED once however often it is said, deregistered."""
        self.state.claim("one", None, None, None, START)
        self.state.expire(START + 60)
        self.state.update("one", "srv-1", None, "UTILIZED", None, START + 61)
        self.state.update("one", "srv-1", None, "UTILIZED", None, START + 62)
        self.state.deregister("one", "srv-1", START + 63)
        self.assertEqual(
            [
                ("registered", f"registered on {self.instance}, AVAILABLE"),
                ("claimed", "CLAIMED for 60 s"),
                ("claim-expired", "claim expired: not UTILIZED within 60 s, free again"),
                ("utilized", "UTILIZED"),
                ("deregistered", "deregistered after 63 s"),
            ],
            self.told(),
        )

    def test_refusalsSayWhatThereIs(self) -> None:
        """A refusal names what was asked for and what there is instead."""
        refusal = self.assertRaises(FleetIQError, self.state.groups(START).group, "two")
        self.assertEqual(
            "Game server group two does not exist. This FleetIQ has one.", refusal.message
        )
        refusal = self.assertRaises(
            FleetIQError, self.state.register, "one", "srv-2", "i-x", None, None, START
        )
        self.assertEqual(
            f"Instance i-x is not in game server group one, which has {self.instance}.",
            refusal.message,
        )

    def test_targetOnInstanceThatGoes(self) -> None:
        """A target on a DRAINING instance is claimed unless filtered out, else never."""
        for now, kind, status, statuses in (
            (START, "draining", "DRAINING", ["ACTIVE"]),
            (START + 60, "spot", "SPOT_TERMINATING", None),
        ):
            self.state.interrupt(self.instance, kind, None, now)
            refusal = self.assertRaises(
                FleetIQError, self.state.claim, "one", "srv-1", None, statuses, now
            )
            self.assertEqual("ConflictException", refusal.code)
            self.assertIn(f"on an instance that is {status}", refusal.message)
            if kind == "draining":
                self.assertTrue(self.state.claim("one", "srv-1", None, None, now).claimed)

    def test_deadlineIsWhatHappensNext(self) -> None:
        """The next deadline is the claim's end, then the end of health, then there is none."""
        self.state.claim("one", None, None, None, START)
        self.assertEqual(START + 60, self.state.nextDeadline())
        self.state.expire(START + 60)
        self.assertEqual(START + 180, self.state.nextDeadline())
        self.state.expire(START + 181)
        self.assertIsNone(self.state.nextDeadline())

    def test_instanceIdsSurviveRestart(self) -> None:
        """An instance's id depends on its group and its number alone, and has a real one's form."""
        self.assertEqual("i-0220623ef0df7e558", instanceIdOf("local", 0))
        self.assertRegex(instanceIdOf("other", 7), r"^i-[0-9a-f]{17}$")
