"""The start: finds FleetIQ, and who this instance is in it."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, FirstError, gatherResults

from echoserver.ec2.instance import ConnectionInfo, Instance, identify
from echoserver.ec2.metadata import InstanceMetadata
from echoserver.fleets import AWS, Local
from echoserver.gamelift.aws import GameLift

if TYPE_CHECKING:
    from treq.client import HTTPClient

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Found:
    """Where we speak, and as whom."""

    group: str
    region: str | None
    instance: Instance

    def shown(self, gameLift: GameLift) -> dict[str, str | None]:
        """For operators, in words that JSON has; a password in the URL is not for them."""
        where = gameLift.where
        return {
            "fleet": "local" if where.local else "AWS",
            "endpoint": where.endpoint and urlsplit(where.endpoint).netloc.rpartition("@")[2],
            "region": self.region,
            "group": self.group,
            "instanceId": self.instance.instanceId,
        }


async def find(
    fleet: AWS | Local,
    http: HTTPClient,
    metadata: InstanceMetadata,
    gameLift: GameLift,
    connectionInfo: ConnectionInfo,
) -> Found:
    """
    Ask the metadata, import boto3 and make its client, side by side.

    @raise NoIdentity: if nobody says which instance this is.
    @raise CallFailed: if boto3 does not start. Do not retry.
    """
    identified = identify(metadata, fleet.instanceId, connectionInfo)
    region, instance = await both(gameLift.region(), identified)
    region = region or await metadata.get("placement/region")
    await gameLift.open(region)
    group = await fleet.groupOf(http, instance.instanceId)
    fleet.tell(region, group)
    return Found(group, region, instance)


async def both(first: Deferred[T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Side by side: what both bring, or the first failure."""
    other = Deferred.fromCoroutine(second)
    pair: list[Deferred[Any]] = [first, other]
    try:
        await gatherResults(pair, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
    return await first, await other
