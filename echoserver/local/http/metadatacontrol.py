"""The control for values of the instance metadata."""

from __future__ import annotations

from collections.abc import Callable

from echoserver.local.http.controls import PostResource, Report, respondError, respondJSON
from echoserver.local.http.site import LocalRequest
from echoserver.local.http.wire import readObject
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.metadatavalues import MetadataValues
from echoserver.local.model.values import formatNames, quoted, textOf


class MetadataControl(PostResource):
    """C{POST /_local/metadata}: sets values in the metadata of one instance, or of all."""

    isLeaf = True

    def __init__(
        self,
        fleet: Fleet,
        values: MetadataValues,
        seconds: Callable[[], float],
        report: Report,
    ) -> None:
        super().__init__()
        self._fleet = fleet
        self._values = values
        self._seconds = seconds
        self._report = report

    def render_POST(self, request: LocalRequest) -> int:
        try:
            body = readObject(request.content.read())
            instanceId = textOf(body, "InstanceId")
            groups = self._fleet.groups(self._seconds())
            if instanceId is not None and groups.instance(instanceId) is None:
                sentence = f"There is no instance {quoted(instanceId)}."
                return respondError(request, 404, sentence)
            self._values.set(body)
        except ValueError as error:
            return respondError(request, 400, str(error))
        names = [*body.get("values", {}), *(["user-data"] if "userData" in body else [])]
        whose = instanceId or "all instances"
        self._report("metadata", f"the metadata of {whose} has new values: {formatNames(names)}")
        return respondJSON(request, 200, {})
