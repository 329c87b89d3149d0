"""Which FleetIQ, and which of its groups, a command speaks to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime, IStreamClientEndpoint
from twisted.python.usage import UsageError

from echoserver.address import LOCAL_FLEETIQ_URL, Address
from echoserver.cli.console import Console, Refused
from echoserver.cli.paging import everyPage
from echoserver.gamelift.client import EndpointConfig
from echoserver.gamelift.errors import CallFailed
from echoserver.gamelift.service import Calls

_NOT_REACHED = {"EndpointConnectionError", "ConnectTimeoutError"}


class Door(Calls, Protocol):
    """The way to FleetIQ: L{echoserver.gamelift.client.GameLift}."""

    def region(self) -> Deferred[str | None]: ...

    def open(self, region: str | None) -> Deferred[None]: ...


@dataclass(frozen=True, slots=True)
class Fleet:
    """
    The group a command speaks to, and what the command works with.

    @ivar clock: the reactor.
    @ivar endpoint: leads to a game server's address.
    @ivar openInput: connects a protocol to standard input.
    """

    calls: Calls
    where: EndpointConfig
    group: str
    clock: IReactorTime
    console: Console
    endpoint: Callable[[Address], IStreamClientEndpoint]
    openInput: Callable[[IProtocol], object]


def chooseWhere(
    group: str | None, region: str | None, endpoint: str | None, environ: Mapping[str, str]
) -> EndpointConfig:
    """
    An endpoint given: there. Else a group given: AWS. Else the local FleetIQ.

    AWS_ENDPOINT_URL stands for all of AWS, and so counts only with a group.

    @raise UsageError: they do not fit together.
    """
    for name, value in (("--group", group), ("--region", region), ("--endpoint-url", endpoint)):
        if value == "":
            raise UsageError(f"{name} is empty; name one, or leave it out.")
    endpoint = endpoint or environ.get("AWS_ENDPOINT_URL_GAMELIFT") or None
    if endpoint is None and group is not None:
        endpoint = environ.get("AWS_ENDPOINT_URL") or None
    named = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None
    if endpoint is not None:
        if _isLoopback(endpoint):
            return EndpointConfig(region, endpoint, local=True)
        return EndpointConfig(named, endpoint)
    if group is not None:
        return EndpointConfig(named)
    if region is not None:
        raise UsageError(
            f"--region {region} is AWS, and AWS needs a game server group: add --group NAME."
        )
    return EndpointConfig(endpoint=LOCAL_FLEETIQ_URL, local=True)


def _isLoopback(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise UsageError(f"The endpoint {endpoint!r} is no URL: it should read http://HOST:PORT.")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def reach(door: Door, where: EndpointConfig, group: str | None) -> tuple[str, str]:
    """
    Open the door, and find the group if none is named: the only one there is.

    @return: the group, and a phrase that says where it is.
    @raise UsageError: something has to be named.
    @raise Refused: there is no group, or no local FleetIQ.
    """
    region = await door.region()
    if region is None:
        raise UsageError(
            "No AWS region is named: add --region, or set AWS_REGION or the profile's region."
        )
    await door.open(region)
    if where.local:
        place = f"local FleetIQ on {where.endpoint}"
    elif where.endpoint:
        place = f"FleetIQ on {where.endpoint} in {region}"
    else:
        place = f"AWS FleetIQ in {region}"
    group = group or await _onlyGroup(door, where, place)
    return group, f"{place}, group {group}"


async def _onlyGroup(calls: Calls, where: EndpointConfig, place: str) -> str:
    try:
        groups = await everyPage(calls, "ListGameServerGroups", "GameServerGroups")
    except CallFailed as error:
        if where.endpoint == LOCAL_FLEETIQ_URL and error.code in _NOT_REACHED:
            raise Refused(
                f"No local FleetIQ listens on {LOCAL_FLEETIQ_URL}: start one with 'make run' or "
                f"'twistd -n fleetiq-local', or name a group of AWS with --group."
            ) from error
        raise
    names = [str(group.get("GameServerGroupName")) for group in groups]
    if not names:
        raise Refused(f"The {place} has no game server group: make one.")
    if len(names) > 1:
        # Here --group alone would mean AWS.
        here = f": fleetiq --endpoint-url {where.endpoint} --group NAME ..."
        how = here if where.local else " with --group."
        raise UsageError(
            f"The {place} has {len(names)} game server groups, {', '.join(names)}: name one{how}"
        )
    return names[0]
