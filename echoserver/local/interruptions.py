"""Pure: how an instance is told to go, what FleetIQ makes of it, and its end; time is given."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from echoserver.local.groups import Groups
from echoserver.local.values import Event, Instance, Interruption, Refusal, shown, some

USUAL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of interruption.

    @ivar told: what the instance is told, for a sentence.
    @ivar status: the InstanceStatus it brings; C{None} leaves it.
    @ivar why: what ends the instance, for a sentence; C{None} if nothing does.
    """

    told: str
    status: str | None
    why: str | None


# What Auto Scaling's and a rebalance recommendation make of the status AWS does not say.
KINDS = {
    "spot": Kind("has a spot interruption notice", "SPOT_TERMINATING", "spot interruption"),
    "rebalance": Kind("has a rebalance recommendation", None, None),
    "autoscaling": Kind("is taken away by Auto Scaling", "DRAINING", "Auto Scaling"),
    "draining": Kind("is drained by FleetIQ", "DRAINING", None),
}


class Interruptions:
    """
    Those of all instances. Nothing takes the place of an instance that ended: there is no Auto
    Scaling here. It is to be swept before it is asked.
    """

    def __init__(
        self,
        groups: Groups,
        happened: Callable[[Event], None],
        empty: Callable[[Instance, str, float], None],
    ) -> None:
        """
        @param happened: told every L{Event}, after the fact.
        @param empty: takes the game servers of an instance off it, and tells why.
        """
        self._groups = groups
        self._happened = happened
        self._empty = empty
        self._ends: list[tuple[float, str]] = []

    def begin(self, instanceId: str, kind: str, seconds: float | None, now: float) -> Instance:
        """
        Tell an instance to go, in C{seconds}; C{None} is 120 for the kinds that have an end, and
        all there is for those that have none. Each kind comes once, and after an end none comes.
        """
        if kind not in KINDS:
            raise Refusal(
                "InvalidRequestException",
                f"kind is {shown(kind)}: it must be one of {', '.join(KINDS)}.",
            )
        instance = self._groups.instances.get(instanceId)
        if instance is None:
            has = some(self._groups.instances) or "none"
            raise Refusal(
                "NotFoundException",
                f"Instance {shown(instanceId)} does not run in a game server group. "
                f"This FleetIQ has {has}.",
            )
        if instance.end is not None:
            raise Refusal(
                "ConflictException",
                f"Instance {instanceId} {_endOf(instance, now)} already: it cannot be interrupted.",
            )
        if any(each.kind == kind for each in instance.interruptions):
            raise Refusal("ConflictException", f"Instance {instanceId} {KINDS[kind].told} already.")
        if KINDS[kind].why is None and seconds is not None:
            raise Refusal(
                "InvalidRequestException",
                f"seconds is {shown(seconds)}: {kind} has no end, so leave seconds out.",
            )
        return self._begin(instance, kind, seconds or USUAL_SECONDS, now)

    def nextDeadline(self) -> float | None:
        """The time before which no instance ends; C{None} if none will."""
        return self._ends[0][0] if self._ends else None

    def sweep(self, now: float) -> None:
        """End the instances that are due."""
        while self._ends and self._ends[0][0] <= now:
            instanceId = heappop(self._ends)[1]
            instance = self._groups.instance(instanceId)
            # It may have gone with its group, and even have come back.
            if instance is not None and instance.end is not None and instance.end <= now:
                self._end(instance, now)

    def _begin(self, instance: Instance, kind: str, seconds: float, now: float) -> Instance:
        interruption = Interruption(kind, now, now + seconds if KINDS[kind].why else None)
        after = replace(
            instance,
            status=KINDS[kind].status or instance.status,
            interruptions=(*instance.interruptions, interruption),
        )
        self._groups.putInstance(after)
        if interruption.end is not None:
            heappush(self._ends, (interruption.end, after.instanceId))
        end = "" if after.end is None else f", and {_endOf(after, now)}"
        self._tell(after, "interrupted", f"{KINDS[kind].told}: it is {after.status}{end}", now)
        return after

    def _end(self, instance: Instance, now: float) -> None:
        why = KINDS[instance.interruptions[-1].kind].why
        if instance.instanceId in self._groups.instances:
            self._empty(instance, f"its instance was terminated ({why})", now)
        self._groups.removeInstance(instance)
        self._tell(instance, "terminated", f"was terminated ({why})", now)

    def _tell(self, instance: Instance, event: str, sentence: str, now: float) -> None:
        groupName, instanceId = instance.groupName, instance.instanceId
        statuses = (
            {"InstanceStatus": instance.status} if instanceId in self._groups.instances else {}
        )
        self._happened(Event(now, event, groupName, instanceId, None, sentence, statuses))


def _endOf(instance: Instance, now: float) -> str:
    return f"ends in {(instance.end or now) - now:.0f} s"
