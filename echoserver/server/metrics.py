"""The metrics of one process for Prometheus: calls to GameLift's API, and each game server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from echoserver.server.status import GameServerStatus, stateName

# Seconds. A call takes 10 ms in the same region, 50 ms typically, 10 s at most.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Each state is exported, also with 0 game servers, so that alerts can compare it.
_STATES = ("ABSENT", "AVAILABLE", "UTILIZED", "UTILIZED_EXTERNALLY", "UNKNOWN", "CONFLICT")


class Metrics:
    """
    The metrics of one process, in their own registry. Runs on the reactor thread.

    @param seconds: the reactor's clock.
    @param statuses: returns the current status of each game server.
    """

    def __init__(
        self, seconds: Callable[[], float], statuses: Callable[[], Sequence[GameServerStatus]]
    ) -> None:
        self._seconds = seconds
        self._statuses = statuses
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
        """Count a call. See L{echoserver.gamelift.client.GameLift}."""
        self._calls.labels(operation, outcome).observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of the game servers. The registry calls this for each scrape."""
        statuses, now = self._statuses(), self._seconds()
        rows = [(str(each.port), each) for each in statuses]

        def gauge(
            name: str, description: str, value: Callable[[GameServerStatus], float | None]
        ) -> Metric:
            family = GaugeMetricFamily(f"fleetiq_game_server_{name}", description, labels=["port"])
            for port, each in rows:
                if (number := value(each)) is not None:
                    family.add_metric([port], number)
            return family

        def counter(
            name: str, description: str, value: Callable[[GameServerStatus], float]
        ) -> Metric:
            family = CounterMetricFamily(
                f"fleetiq_game_server_{name}", description, labels=["port"]
            )
            for port, each in rows:
                family.add_metric([port], value(each))
            return family

        yield gauge("players", "Connected players.", lambda each: each.players)
        yield counter("sessions", "Game sessions that have started.", lambda each: each.session)
        yield counter(
            "received_bytes", "Bytes received from players.", lambda each: each.receivedBytes
        )
        yield counter(
            "refused", "Players rejected with FULL or CLAIM FIRST.", lambda each: each.refused
        )
        yield gauge(
            "heartbeat_age_seconds",
            "Time since the last health report to FleetIQ; absent while not registered.",
            lambda each: None if each.lastReport is None else now - each.lastReport,
        )
        states = GaugeMetricFamily(
            "fleetiq_game_servers",
            "Game servers, by their last known state in FleetIQ.",
            labels=["state"],
        )
        names = [stateName(each.known) for each in statuses]
        for name in _STATES:
            states.add_metric([name], names.count(name))
        yield states
        for name, description, applies in (
            ("ready", "that can take players", lambda each: each.notReadyReason() is None),
            ("draining", "that are draining", lambda each: each.draining),
            ("degraded", "whose calls fail", lambda each: each.degradedSince is not None),
        ):
            count = sum(map(applies, statuses))
            yield GaugeMetricFamily(
                f"fleetiq_game_servers_{name}", f"Game servers {description}.", count
            )
