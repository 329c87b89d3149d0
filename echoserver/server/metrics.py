"""What Prometheus is told: the calls that were made, and where each game server stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from echoserver.server.status import GameServerStatus, stateName

# A call takes 10 ms to a neighbour, 50 ms as a rule, 10 s at most.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STATES = ("ABSENT", "AVAILABLE", "UTILIZED", "UTILIZED_EXTERNALLY", "UNKNOWN", "CONFLICT")


class Metrics:
    """
    The metrics of one process, in a registry of its own. All on the reactor thread.

    @param seconds: the clock.
    @param statuses: where each game server stands now.
    """

    def __init__(
        self, seconds: Callable[[], float], statuses: Callable[[], Sequence[GameServerStatus]]
    ) -> None:
        self._seconds = seconds
        self._standings = statuses
        self._registry = CollectorRegistry(auto_describe=False)
        self._calls = Histogram(
            "fleetiq_api_call_seconds",
            "Calls to GameLift's API, by operation and outcome: ok, or the error's code.",
            ["operation", "outcome"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(self)

    def ended(self, operation: str, outcome: str, seconds: float) -> None:
        """A call has ended. See L{echoserver.gamelift.client.GameLift}."""
        self._calls.labels(operation, outcome).observe(seconds)

    def text(self) -> bytes:
        """All of them, in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """What is looked up at each scrape."""
        statuses, now = self._standings(), self._seconds()
        rows = [(str(each.port), each) for each in statuses]

        def gauge(
            name: str, says: str, value: Callable[[GameServerStatus], float | None]
        ) -> Metric:
            family = GaugeMetricFamily(f"fleetiq_game_server_{name}", says, labels=["port"])
            for port, each in rows:
                if (number := value(each)) is not None:
                    family.add_metric([port], number)
            return family

        def counter(name: str, says: str, value: Callable[[GameServerStatus], float]) -> Metric:
            family = CounterMetricFamily(f"fleetiq_game_server_{name}", says, labels=["port"])
            for port, each in rows:
                family.add_metric([port], value(each))
            return family

        yield gauge("players", "Players who are in.", lambda each: each.players)
        yield counter("sessions", "Game sessions that have begun.", lambda each: each.session)
        yield counter("received_bytes", "Bytes from players.", lambda each: each.receivedBytes)
        yield counter(
            "refused", "Players who were told FULL or CLAIM FIRST.", lambda each: each.refused
        )
        yield gauge(
            "heartbeat_age_seconds",
            "Since FleetIQ last heard of its health; absent while it is not registered.",
            lambda each: None if each.lastReport is None else now - each.lastReport,
        )
        states = GaugeMetricFamily(
            "fleetiq_game_servers", "Game servers, by what FleetIQ knows.", labels=["state"]
        )
        names = [stateName(each.known) for each in statuses]
        for name in _STATES:
            states.add_metric([name], names.count(name))
        yield states
        for name, says, holds in (
            ("ready", "to which players may be sent", lambda each: each.notReadyReason() is None),
            ("draining", "that are about to leave", lambda each: each.draining),
            ("degraded", "whose calls fail", lambda each: each.degradedSince is not None),
        ):
            count = sum(map(holds, statuses))
            yield GaugeMetricFamily(f"fleetiq_game_servers_{name}", f"Game servers {says}.", count)
