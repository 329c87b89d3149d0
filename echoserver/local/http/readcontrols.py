"""The controls that programs poll: the groups, and the metrics of FleetIQ."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from echoserver.local.http.controls import respondJSON
from echoserver.local.http.responses import serializeGroup
from echoserver.local.http.site import LocalRequest
from echoserver.local.model.cloudwatch import CloudWatch, Metric
from echoserver.local.model.fleet import Fleet

_METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class GroupsControl(Resource):
    """
    C{GET /_local/groups}: the groups alone, serialized as in the API's replies. Unlike
    ListGameServerGroups, it has no faults and no entries in the journal.
    """

    isLeaf = True

    def __init__(self, fleet: Fleet, seconds: Callable[[], float]) -> None:
        super().__init__()
        self._fleet = fleet
        self._seconds = seconds

    def render_GET(self, request: LocalRequest) -> int:
        groups = self._fleet.groups(self._seconds()).all()
        return respondJSON(request, 200, {"groups": [serializeGroup(each) for each in groups]})


class MetricsControl(Resource):
    """C{GET /_local/metrics}: the metrics of FleetIQ in Prometheus's text format."""

    isLeaf = True

    def __init__(self, cloudWatch: CloudWatch, seconds: Callable[[], float]) -> None:
        super().__init__()
        self._cloudWatch = cloudWatch
        self._seconds = seconds

    def render_GET(self, request: LocalRequest) -> int:
        body = formatMetrics(self._cloudWatch.metrics(self._seconds())).encode("ascii")
        request.respond(200, ((b"Content-Type", _METRICS_TYPE),), body)
        return NOT_DONE_YET


def formatMetrics(metrics: Iterable[Metric]) -> str:
    """
    Return metrics in Prometheus's text format. The library for it adds C{_total} to the names of
    counters, and CloudWatch's names have none. Values of labels need no escapes: they are names of
    groups and instance types.
    """
    lines = []
    for metric in metrics:
        lines.append(f"# HELP {metric.name} {metric.description}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        for values, number in sorted(metric.values.items()):
            pairs = zip(metric.dimensions, values, strict=True)
            labels = ",".join(f'{name}="{value}"' for name, value in pairs)
            lines.append(f"{metric.name}{{{labels}}} {number:.10g}")
    return "\n".join(lines) + "\n"
