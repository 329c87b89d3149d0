"""Pure: the metrics of FleetIQ that CloudWatch has, with its names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from echoserver.local.model.fleet import Fleet
from echoserver.local.model.values import Instance

_GROUP = "GameServerGroupName"


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One metric of all groups.

    @ivar kind: C{gauge}, or C{counter} for one that only increases.
    @ivar values: by the values of its dimensions.
    """

    name: str
    kind: str
    description: str
    dimensions: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]


class CloudWatch:
    """Calculates the metrics of a L{Fleet}, and counts its Spot interruptions."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.reset()

    def reset(self) -> None:
        """Reset the number of interruptions."""
        self._instances: Counter[tuple[str, ...]] = Counter()
        self._gameServers: Counter[tuple[str, ...]] = Counter()

    def interrupted(self, instance: Instance, now: float) -> None:
        """Count an instance that has received a Spot notice, with its game servers."""
        servers = self._fleet.allGameServers(now)
        self._instances[instance.groupName, instance.instanceType] += 1
        self._gameServers[(instance.groupName,)] += sum(
            each.instanceId == instance.instanceId for each in servers
        )

    def metrics(self, now: float) -> list[Metric]:
        """Return all metrics. Game servers on instances that are not ACTIVE are draining."""
        groups = self._fleet.groups(now)
        names = [(group.name,) for group in groups.all()]
        counts: Counter[tuple[str, bool, bool]] = Counter(
            (each.groupName, groups.instances[each.instanceId].status == "ACTIVE", each.utilized)
            for each in self._fleet.allGameServers(now)
        )
        metrics = [
            Metric(
                name,
                "gauge",
                f"Game servers that are {status}, on instances that are {instances}.",
                (_GROUP,),
                {(group,): counts[group, isActive, isUtilized] for (group,) in names},
            )
            for name, status, instances, isActive, isUtilized in (
                ("AvailableGameServers", "AVAILABLE", "ACTIVE", True, False),
                ("UtilizedGameServers", "UTILIZED", "ACTIVE", True, True),
                ("DrainingAvailableGameServers", "AVAILABLE", "not ACTIVE", False, False),
                ("DrainingUtilizedGameServers", "UTILIZED", "not ACTIVE", False, True),
            )
        ]
        return [
            *metrics,
            Metric(
                "PercentUtilizedGameServers",
                "gauge",
                "Percentage of all game servers that are UTILIZED.",
                (_GROUP,),
                {
                    (group.name,): 100.0 * group.utilized / max(1, len(group.serials))
                    for group in groups.all()
                },
            ),
            Metric(
                "GameServerInterruptions",
                "counter",
                "Game servers on instances that received a Spot notice.",
                (_GROUP,),
                {name: self._gameServers[name] for name in sorted({*names, *self._gameServers})},
            ),
            Metric(
                "InstanceInterruptions",
                "counter",
                "Instances that received a Spot notice.",
                (_GROUP, "InstanceType"),
                dict(self._instances),
            ),
        ]
