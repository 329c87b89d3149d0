"""The target of a command: which FleetIQ endpoint, and which game server group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from typing import Protocol as TypingProtocol
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime, IStreamClientEndpoint
from twisted.python.usage import UsageError

from echoserver.address import LOCAL_FLEETIQ_URL, Address
from echoserver.cli.output import CommandFailed, Console
from echoserver.gamelift.client import EndpointConfig
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import Calls

_NOT_REACHED = {"EndpointConnectionError", "ConnectTimeoutError"}


class Connection(Calls, TypingProtocol):
    """A client of FleetIQ's API: L{echoserver.gamelift.client.GameLift}."""

    def region(self) -> Deferred[str | None]: ...

    def open(self, region: str | None) -> Deferred[None]: ...


@dataclass(frozen=True, slots=True)
class Target:
    """
    A game server group, and what a command needs to use it.

    @ivar calls: an open client of FleetIQ's API.
    @ivar clock: the reactor.
    @ivar endpointFor: returns an endpoint that connects to an address.
    @ivar openInput: connects a protocol to standard input.
    """

    calls: Calls
    config: EndpointConfig
    group: str
    clock: IReactorTime
    console: Console
    endpointFor: Callable[[Address], IStreamClientEndpoint]
    openInput: Callable[[IProtocol], object]


def resolveEndpoint(
    group: str | None, region: str | None, endpoint: str | None, environ: Mapping[str, str]
) -> EndpointConfig:
    """
    Choose the FleetIQ endpoint from the options and the environment.

    If an endpoint is given, use it. Else, if a group is given, use AWS. Else use the local FleetIQ.
    AWS_ENDPOINT_URL is meant for all AWS services, so it has an effect only if a group is given.

    @raise UsageError: if the options contradict each other, or one is not valid.
    """
    for name, value in (("--group", group), ("--region", region), ("--endpoint-url", endpoint)):
        if value == "":
            raise UsageError(f"{name} is empty; give a value, or leave it out.")
    endpoint = endpoint or environ.get("AWS_ENDPOINT_URL_GAMELIFT") or None
    if endpoint is None and group is not None:
        endpoint = environ.get("AWS_ENDPOINT_URL") or None
    namedRegion = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None
    if endpoint is not None:
        if _isLoopback(endpoint):
            return EndpointConfig(region, endpoint, local=True)
        return EndpointConfig(namedRegion, endpoint)
    if group is not None:
        return EndpointConfig(namedRegion)
    if region is not None:
        raise UsageError(
            f"--region {region} selects AWS, and AWS needs a game server group: add --group NAME."
        )
    return EndpointConfig(endpoint=LOCAL_FLEETIQ_URL, local=True)


def _isLoopback(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise UsageError(f"The endpoint {endpoint!r} is not a valid URL: use http://HOST:PORT.")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def resolveGroup(
    connection: Connection, config: EndpointConfig, group: str | None
) -> tuple[str, str]:
    """
    Open the connection. If no group is given, find the only one that exists.

    @return: the group, and a description of the target for the user.
    @raise UsageError: if no region is known, or if several groups exist.
    @raise CommandFailed: if no group exists, or no local FleetIQ is running.
    @raise CallFailed: if the groups cannot be listed.
    """
    region = await connection.region()
    if region is None:
        raise UsageError(
            "No AWS region is set: add --region, or set AWS_REGION or the region of the profile."
        )
    await connection.open(region)
    if config.local:
        place = f"local FleetIQ on {config.endpoint}"
    elif config.endpoint:
        place = f"FleetIQ on {config.endpoint} in {region}"
    else:
        place = f"AWS FleetIQ in {region}"
    group = group or await _onlyGroup(connection, config, place)
    return group, f"{place}, group {group}"


async def _onlyGroup(calls: Calls, config: EndpointConfig, place: str) -> str:
    try:
        groups = await everyPage(calls, "ListGameServerGroups", "GameServerGroups")
    except CallFailed as error:
        if config.endpoint == LOCAL_FLEETIQ_URL and error.code in _NOT_REACHED:
            raise CommandFailed(
                f"No local FleetIQ listens on {LOCAL_FLEETIQ_URL}: start one with 'make run' or "
                f"'twistd -n fleetiq-local', or add --group NAME for a group in AWS."
            ) from error
        raise
    names = [str(group.get("GameServerGroupName")) for group in groups]
    if not names:
        raise CommandFailed(f"The {place} has no game server group: create one.")
    if len(names) > 1:
        # With the default endpoint, --group alone selects AWS.
        command = f"fleetiq --endpoint-url {config.endpoint} --group NAME ..."
        hint = f": {command}" if config.local else " with --group."
        raise UsageError(
            f"The {place} has {len(names)} game server groups, {', '.join(names)}: name one{hint}"
        )
    return names[0]


def everyPage(
    calls: Calls, operation: str, member: str, **request: Any
) -> Deferred[list[dict[str, Any]]]:
    """
    Call a List operation until its last page.

    @param member: the member of the reply that has the list.
    @return: fires with the items of all pages; fails with L{CallFailed}.
    """

    async def pages() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            reply = await calls.call(operation, NextToken=token, **request)
            items += reply.get(member) or []
            token = reply.get("NextToken")
            if not token:
                return items

    return Deferred.fromCoroutine(pages())
