"""Pure: the interruptions of instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from echoserver.local.model.groups import Groups
from echoserver.local.model.values import (
    Event,
    FleetIQError,
    Instance,
    Interruption,
    formatNames,
    quoted,
)

DEFAULT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class InterruptionKind:
    """
    One kind of interruption.

    @ivar notice: describes the notice, for a sentence about the instance.
    @ivar status: the InstanceStatus from then on; C{None} if it does not change.
    @ivar endReason: the reason for which the instance ends; C{None} if it does not end.
    @ivar maintenance: EC2's description of scheduled maintenance; C{None} for other kinds.
    """

    notice: str
    status: str | None
    endReason: str | None
    maintenance: str | None = None


# AWS does not document the status after a notice of Auto Scaling or a rebalance recommendation.
KINDS = {
    "spot": InterruptionKind(
        "has a spot interruption notice", "SPOT_TERMINATING", "spot interruption"
    ),
    "rebalance": InterruptionKind("has a rebalance recommendation", None, None),
    "autoscaling": InterruptionKind(
        "is being terminated by Auto Scaling", "DRAINING", "Auto Scaling"
    ),
    "draining": InterruptionKind("is drained by FleetIQ", "DRAINING", None),
    # AWS does not document the status after a notice of scheduled maintenance either.
    "instance-stop": InterruptionKind(
        "is scheduled to stop",
        None,
        "scheduled stop",
        "The instance is running on degraded hardware",
    ),
    "instance-retirement": InterruptionKind(
        "is scheduled for retirement",
        None,
        "scheduled retirement",
        "The instance is running on degraded hardware",
    ),
    "instance-reboot": InterruptionKind(
        "is scheduled to reboot", None, None, "scheduled instance reboot"
    ),
    "system-reboot": InterruptionKind(
        "is scheduled for a system reboot", None, None, "scheduled reboot"
    ),
    "system-maintenance": InterruptionKind(
        "is scheduled for system maintenance", None, None, "scheduled system maintenance"
    ),
}
# How long maintenance takes that does not end the instance: as in EC2's documentation.
MAINTENANCE_SECONDS = 1000.0


class Interruptions:
    """
    The interruptions of all instances. An instance that ends is not replaced, because there is no
    Auto Scaling here. Call L{expire} with the current time before any other method.
    """

    def __init__(
        self,
        groups: Groups,
        onEvent: Callable[[Event], None],
        dropGameServers: Callable[[Instance, str, float], None],
    ) -> None:
        """
        @param onEvent: called after each event.
        @param dropGameServers: drops all game servers of an instance, for this reason.
        """
        self._groups = groups
        self._onEvent = onEvent
        self._dropGameServers = dropGameServers
        self._ends: list[tuple[float, str]] = []

    def begin(self, instanceId: str, kind: str, seconds: float | None, now: float) -> Instance:
        """
        Interrupt an instance, and return it. An instance can have one interruption of each kind,
        and none after one that ends it.

        @param kind: one of L{KINDS}.
        @param seconds: the time until the instance ends, or its maintenance begins. C{None} is 120
            seconds. It must be C{None} for the other kinds.
        @raise FleetIQError: if the instance does not run, or this interruption is not possible.
        """
        if kind not in KINDS:
            raise FleetIQError(
                "InvalidRequestException",
                f"kind is {quoted(kind)}: it must be one of {', '.join(KINDS)}.",
            )
        instance = self._groups.instances.get(instanceId)
        if instance is None:
            existing = formatNames(self._groups.instances) or "none"
            raise FleetIQError(
                "NotFoundException",
                f"Instance {quoted(instanceId)} does not run in a game server group. "
                f"This FleetIQ has {existing}.",
            )
        if instance.end is not None:
            raise FleetIQError(
                "ConflictException",
                f"Instance {instanceId} already {_formatEnd(instance, now)}: it cannot be "
                "interrupted.",
            )
        if any(each.kind == kind for each in instance.interruptions):
            raise FleetIQError(
                "ConflictException", f"Instance {instanceId} already {KINDS[kind].notice}."
            )
        hasTime = KINDS[kind].endReason is not None or KINDS[kind].maintenance is not None
        if seconds is not None and not hasTime:
            raise FleetIQError(
                "InvalidRequestException",
                f"seconds is {quoted(seconds)}: {kind} does not end the instance, so omit seconds.",
            )
        return self._begin(instance, kind, seconds or DEFAULT_SECONDS, now)

    def nextDeadline(self) -> float | None:
        """Return the time at which the next instance ends; C{None} if none will."""
        return self._ends[0][0] if self._ends else None

    def expire(self, now: float) -> None:
        """End the instances whose time is over."""
        while self._ends and self._ends[0][0] <= now:
            instanceId = heappop(self._ends)[1]
            instance = self._groups.instance(instanceId)
            # It may have been removed with its group, and even added again since.
            if instance is not None and instance.end is not None and instance.end <= now:
                self._end(instance, now)

    def _begin(self, instance: Instance, kind: str, seconds: float, now: float) -> Instance:
        interruption = _interruptionOf(kind, now, now + seconds)
        after = replace(
            instance,
            status=KINDS[kind].status or instance.status,
            interruptions=(*instance.interruptions, interruption),
        )
        self._groups.replaceInstance(after)
        if interruption.end is not None:
            heappush(self._ends, (interruption.end, after.instanceId))
        end = "" if after.end is None else f", and {_formatEnd(after, now)}"
        self._report(after, "interrupted", f"{KINDS[kind].notice}: it is {after.status}{end}", now)
        return after

    def _end(self, instance: Instance, now: float) -> None:
        reason = KINDS[instance.interruptions[-1].kind].endReason
        if instance.instanceId in self._groups.instances:
            self._dropGameServers(instance, f"its instance was terminated ({reason})", now)
        self._groups.removeInstance(instance)
        self._report(instance, "terminated", f"was terminated ({reason})", now)

    def _report(self, instance: Instance, event: str, sentence: str, now: float) -> None:
        groupName, instanceId = instance.groupName, instance.instanceId
        statuses = (
            {"InstanceStatus": instance.status} if instanceId in self._groups.instances else {}
        )
        self._onEvent(Event(now, event, groupName, instanceId, None, sentence, statuses))


def _interruptionOf(kind: str, now: float, due: float) -> Interruption:
    if KINDS[kind].endReason is not None:
        return Interruption(kind, now, due, due)
    if KINDS[kind].maintenance is not None:
        return Interruption(kind, now, None, due, due + MAINTENANCE_SECONDS)
    return Interruption(kind, now, None)


def _formatEnd(instance: Instance, now: float) -> str:
    return f"ends in {(instance.end or now) - now:.0f} s"
