"""Pure: the Auto Scaling groups of the game server groups; time is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil, floor

from echoserver.local.model.fleet import Fleet
from echoserver.local.model.groups import MAX_INSTANCES
from echoserver.local.model.settings import Settings
from echoserver.local.model.values import Event, GameServerGroup, Instance, instanceIdOf


@dataclass(slots=True)
class _Scaling:
    """
    The Auto Scaling group of one game server group.

    @ivar desired: the desired capacity.
    @ivar launched: how many instances were launched so far. It makes instance ids.
    @ivar above: the number of periods in which the metric was above the target.
    @ivar below: the number of periods in which fewer instances would have been enough.
    @ivar pending: when each launch that has begun is done.
    @ivar warming: when each warm-up is over.
    """

    desired: int
    launched: int
    above: int = 0
    below: int = 0
    pending: list[float] = field(default_factory=list)
    warming: list[float] = field(default_factory=list)


class AutoScaling:
    """
    Target tracking on PercentUtilizedGameServers, as EC2 Auto Scaling documents it: the desired
    capacity is proportional to the metric, instances that warm up delay a scale-in, and instances
    that ended are replaced. It expires a L{Fleet} too, so that each period sees the state of its
    own time.
    """

    def __init__(self, fleet: Fleet, onEvent: Callable[[Event], None], settings: Settings) -> None:
        """
        @param onEvent: called with each event, after the change.
        """
        self._fleet = fleet
        self._onEvent = onEvent
        self._settings = settings
        self.reset(0.0)

    def reset(self, now: float) -> None:
        """Remove all groups. The first period begins now."""
        self._scalings: dict[str, _Scaling] = {}
        self._periodEnd = now + float(self._settings.scalePeriod)

    def nextDeadline(self) -> float:
        """Return the time before which nothing happens without a call."""
        own, expiry = self._nextOwnDeadline(), self._fleet.nextDeadline()
        return own if expiry is None else min(own, expiry)

    def expire(self, now: float) -> None:
        """Launch, measure and scale what is due, in the order of time, and expire the fleet."""
        while (due := self._nextOwnDeadline()) <= now:
            self._fleet.expire(due)
            groups = {each.launch: each for each in self._fleet.groups(due).all()}
            for launch in self._scalings.keys() - groups.keys():
                del self._scalings[launch]
            for group in groups.values():
                self._launchDue(group, due)
            if self._periodEnd <= due:
                before = self._counts()
                for group in groups.values():
                    self._measure(group, due)
                self._endPeriod(self._counts() == before, now)
        self._fleet.expire(now)

    def _nextOwnDeadline(self) -> float:
        launches = [each.pending[0] for each in self._scalings.values() if each.pending]
        return min([self._periodEnd, *launches])

    def _counts(self) -> list[tuple[object, ...]]:
        return [
            (each.desired, each.launched, each.above, each.below, *each.pending, *each.warming)
            for each in self._scalings.values()
        ]

    def _endPeriod(self, isQuiet: bool, now: float) -> None:
        """
        Begin the next period. If this one changed nothing, all periods until something expires
        change nothing either: they are skipped, because a clock can be moved by a year.
        """
        period = self._settings.scalePeriod
        self._periodEnd += period
        if isQuiet and not any(each.warming for each in self._scalings.values()):
            expiry = self._fleet.nextDeadline()
            until = now if expiry is None else min(now, expiry)
            self._periodEnd += max(0, floor((until - self._periodEnd) / period)) * period

    def _launchDue(self, group: GameServerGroup, now: float) -> None:
        scaling = self._scalings.get(group.launch)
        while scaling is not None and scaling.pending and scaling.pending[0] <= now:
            heappop(scaling.pending)
            if group.status != "ACTIVE":
                continue
            instanceId = instanceIdOf(group.launch, scaling.launched)
            scaling.launched += 1
            self._fleet.groups(now).addInstance(instanceId, group, now)
            scaling.warming.append(now + self._warmup(group))
            self._report(group, instanceId, "launched", "was launched (Auto Scaling)", now)

    def _measure(self, group: GameServerGroup, now: float) -> None:
        if group.status != "ACTIVE":
            return
        inService = self._inService(group, now)
        scaling = self._scalings.setdefault(group.launch, _Scaling(len(inService), group.minSize))
        scaling.warming = [each for each in scaling.warming if each > now]
        registered = len(group.serials)
        # Without game servers there is no metric, and without a metric no scaling.
        percent = 100.0 * group.utilized / registered if registered else None
        self._count(group, scaling, percent)
        before = scaling.desired
        desired = self._desired(group, scaling, percent, len(inService))
        scaling.desired = min(max(desired, group.minSize), self._maxSize(group))
        if scaling.desired != before and percent is not None:
            sentence = (
                f"scales from {before} to {scaling.desired} instances: {percent:.0f} % of the game "
                f"servers are UTILIZED, the target is {self._target(group):g} %"
            )
            self._report(group, None, "scaled", sentence, now)
        self._adjust(group, scaling, inService, now)

    def _count(self, group: GameServerGroup, scaling: _Scaling, percent: float | None) -> None:
        settings, target = self._settings, self._target(group)
        isAbove = percent is not None and percent > target
        isBelow = percent is not None and percent < target * settings.scaleInBelow / 100
        # Not counted further than needed, so that a period which changes nothing is seen as such.
        scaling.above = min(scaling.above + 1, settings.scaleOutPeriods) if isAbove else 0
        scaling.below = min(scaling.below + 1, settings.scaleInPeriods) if isBelow else 0

    def _desired(
        self, group: GameServerGroup, scaling: _Scaling, percent: float | None, inService: int
    ) -> int:
        if percent is None:
            return scaling.desired
        share = percent / self._target(group)
        if scaling.above >= self._settings.scaleOutPeriods:
            return max(scaling.desired, ceil((inService - len(scaling.warming)) * share))
        isStable = not scaling.warming and not scaling.pending
        if scaling.below >= self._settings.scaleInPeriods and isStable:
            return min(scaling.desired, ceil(inService * share))
        return scaling.desired

    def _adjust(
        self, group: GameServerGroup, scaling: _Scaling, inService: list[Instance], now: float
    ) -> None:
        excess = len(inService) + len(scaling.pending) - scaling.desired
        for _ in range(-excess):
            heappush(scaling.pending, now + self._settings.scaleLaunch)
        if excess > 0:
            for instance in self._removable(group, inService)[:excess]:
                notice = float(self._settings.scaleNotice)
                self._fleet.interrupt(instance.instanceId, "autoscaling", notice, now)

    def _removable(self, group: GameServerGroup, inService: list[Instance]) -> list[Instance]:
        """Return the instances that a scale-in may terminate, in its order: idle ones, by age."""
        isProtected = group.settings.gameServerProtectionPolicy == "FULL_PROTECTION"
        mayEndPlay = self._settings.scaleInUtilized == "terminate" and not isProtected
        ranked = [
            (group.placement.busy(each.instanceId), each.launchTime, each.instanceId, each)
            for each in inService
            if each.end is None
        ]
        return [each for busy, _, _, each in sorted(ranked) if mayEndPlay or not busy]

    def _inService(self, group: GameServerGroup, now: float) -> list[Instance]:
        """Return the instances that Auto Scaling does not terminate."""
        instances = self._fleet.groups(now).instances
        return [
            instances[each]
            for each in group.instanceIds
            if all(notice.kind != "autoscaling" for notice in instances[each].interruptions)
        ]

    def _target(self, group: GameServerGroup) -> float:
        policy = group.scaling
        given = None if policy is None else policy.targetValue
        return given or float(self._settings.scaleTarget)

    def _warmup(self, group: GameServerGroup) -> float:
        policy = group.scaling
        given = None if policy is None else policy.warmup
        return given or float(self._settings.scaleWarmup)

    def _maxSize(self, group: GameServerGroup) -> int:
        given = self._settings.scaleMaxSize if group.scaling is None else group.scaling.maxSize
        return min(MAX_INSTANCES, max(given, group.minSize))

    def _report(
        self, group: GameServerGroup, instanceId: str | None, event: str, sentence: str, now: float
    ) -> None:
        statuses = {"Status": group.status} if instanceId is None else {"InstanceStatus": "ACTIVE"}
        self._onEvent(Event(now, event, group.name, instanceId, None, sentence, statuses))
