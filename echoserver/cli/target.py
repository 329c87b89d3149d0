"""The target of a command: a FleetIQ endpoint, and a game server group."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import Protocol as TypingProtocol

from click import UsageError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime, IStreamClientEndpoint

from echoserver.address import LOCAL_FLEETIQ_URL, Address
from echoserver.cli.controls import Controls, NoResponse, WrongControl
from echoserver.cli.endpoint import checkRegion, localGroupHint
from echoserver.cli.output import CommandFailed, Console
from echoserver.client import Lines
from echoserver.gamelift.client import EndpointConfig
from echoserver.gamelift.service import Calls

# An endpoint that sends ever more pages is broken.
MAX_PAGES = 200
MAX_LIST = 64 * 1024 * 1024


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
    @ivar openPrompt: returns the lines that a person types; None without a terminal.
    """

    calls: Calls
    config: EndpointConfig
    group: str
    clock: IReactorTime
    console: Console
    endpointFor: Callable[[Address], IStreamClientEndpoint]
    openInput: Callable[[IProtocol], object]
    openPrompt: Callable[[], Lines] | None = None


async def resolveGroup(
    connection: Connection,
    config: EndpointConfig,
    group: str | None,
    newControls: Callable[[str], Controls],
    *,
    usesGroup: bool = True,
) -> tuple[str, str]:
    """
    Open the connection. If no group is given, find the only one that exists.

    @param newControls: returns the controls of the local FleetIQ at a URL.
    @param usesGroup: whether the command needs a group.
    @return: the group, and a description of the target for the user.
    @raise UsageError: if no region is known, or if several groups exist.
    @raise CommandFailed: if no group exists, or no local FleetIQ is running.
    @raise CallFailed: if the groups cannot be listed.
    """
    region = await connection.region()
    if region is None:
        raise UsageError(
            "No AWS region is set: add --region, or set AWS_REGION or the region of the profile. "
            + localGroupHint()
        )
    checkRegion(region, config)
    await connection.open(region)
    if config.local:
        place = f"local FleetIQ on {config.endpoint}"
    elif config.endpoint:
        place = f"FleetIQ on {config.endpoint} in {region}"
    else:
        place = f"AWS FleetIQ in {region}"
    if not usesGroup:
        return group or "", place
    group = group or await _onlyGroup(connection, config, place, newControls)
    return group, f"{place}, group {group}"


async def _onlyGroup(
    calls: Calls, config: EndpointConfig, place: str, newControls: Callable[[str], Controls]
) -> str:
    names = await _groups(calls, config, newControls)
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


async def _groups(
    calls: Calls, config: EndpointConfig, newControls: Callable[[str], Controls]
) -> list[str]:
    """Return the names of the groups, from a local FleetIQ without a call of its API."""
    if config.local:
        # A call would be affected by the faults that the user injects into calls.
        try:
            state = await newControls((config.endpoint or "").rstrip("/")).get("state")
        except NoResponse as error:
            if config.endpoint != LOCAL_FLEETIQ_URL:
                raise
            raise CommandFailed(f"{error} For a group in AWS, add --group NAME.") from error
        except WrongControl:
            pass  # another emulator of FleetIQ
        else:
            return [group["GameServerGroupName"] for group in state["groups"]]
    groups = await everyPage(calls, "ListGameServerGroups", "GameServerGroups")
    return [str(group.get("GameServerGroupName")) for group in groups]


def everyPage(
    calls: Calls, operation: str, member: str, **request: Any
) -> Deferred[list[dict[str, Any]]]:
    """
    Call a List operation until its last page.

    @param member: the member of the reply that has the list.
    @return: fires with the items of all pages; fails with L{CallFailed}, or with L{CommandFailed}
        if the pages do not end.
    """

    async def pages() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        tokens: set[str] = set()
        token: str | None = None
        size = 0
        while True:
            reply = await calls.call(operation, NextToken=token, **request)
            items += reply.get(member) or []
            token = reply.get("NextToken")
            if not token:
                return items
            size += len(json.dumps(reply, default=str))
            problem = None
            if token in tokens:
                problem = "the same NextToken twice"
            elif len(tokens) + 1 >= MAX_PAGES:
                problem = f"more than {MAX_PAGES:,d} pages"
            elif size > MAX_LIST:
                problem = f"pages of more than {MAX_LIST:,d} bytes"
            if problem is not None:
                raise CommandFailed(f"{operation} does not end: the endpoint sent {problem}.")
            tokens.add(token)

    return Deferred.fromCoroutine(pages())
