"""Discover which FleetIQ to call, and which instance this is."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.logger import Logger

from echoserver.address import LOCAL_FLEETIQ_URL
from echoserver.ec2.identity import ConnectionInfoTemplate, Instance, identifyInstance
from echoserver.ec2.metadata import InstanceMetadata, NoIdentity, NoMetadata, serviceURL
from echoserver.gamelift.client import EndpointConfig, GameLift

if TYPE_CHECKING:
    from treq.client import HTTPClient

_log = Logger(namespace="fleetiq.server")


@dataclass(frozen=True, slots=True)
class AWSTarget:
    """
    The FleetIQ of AWS, or another one with the same API.

    @ivar region: if None, the variables, the profile, or the instance metadata name it.
    @ivar instanceId: if None, the instance metadata names it.
    @ivar endpoint: the URL of the API; None for AWS's own.
    """

    group: str
    region: str | None = None
    instanceId: str | None = None
    endpoint: str | None = None

    hint: ClassVar = (
        " Leave out --group to use the local FleetIQ, or give --region, --instance-id and"
        " --connection-info."
    )

    def endpointConfig(self, environ: Mapping[str, str]) -> EndpointConfig:
        """Return where to call. AWS_REGION takes precedence over AWS_DEFAULT_REGION."""
        region = self.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        return EndpointConfig(region=region, endpoint=self.endpoint)

    def metadataURL(self, environ: Mapping[str, str]) -> str:
        """
        Return the URL of the instance metadata service.

        @raise NoMetadata: if it is disabled, or the variable is not a URL.
        """
        return serviceURL(environ)

    def playCommand(self, region: str | None, group: str) -> str:
        """Return the arguments of C{fleetiq} with which a player plays here."""
        endpoint = f"--endpoint-url {self.endpoint} " if self.endpoint else ""
        return f"{endpoint}--region {region} --group {group} play"


@dataclass(frozen=True, slots=True)
class LocalTarget:
    """
    A local FleetIQ that is running.

    @ivar url: the URL of its API.
    @ivar metadata: the URL of the metadata service of the instance to use.
    """

    url: str
    metadata: str

    instanceId: ClassVar = None
    hint: ClassVar = " Start one with 'twistd -n fleetiq-local', or leave out --local."

    def endpointConfig(self, environ: Mapping[str, str]) -> EndpointConfig:
        """Return where to call, with dummy credentials. The variables are ignored."""
        return EndpointConfig(endpoint=self.url, local=True)

    def metadataURL(self, environ: Mapping[str, str]) -> str:
        """Return the URL of the metadata service. The variables are ignored."""
        return self.metadata

    def playCommand(self, region: str | None, group: str) -> str:
        """Return the arguments of C{fleetiq} with which a player plays here."""
        if self.url == LOCAL_FLEETIQ_URL:
            return "play"
        return f"--endpoint-url {self.url} --group {group} play"


@dataclass(frozen=True, slots=True)
class EmbeddedTarget:
    """
    A local FleetIQ that this process starts.

    @ivar listen: its endpoint description.
    """

    listen: str


T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Discovered:
    """
    The result of L{discover}.

    @ivar group: the game server group of the instance.
    """

    group: str
    region: str | None
    instance: Instance

    def asDict(self, gameLift: GameLift) -> dict[str, str | None]:
        """Return what C{/status} shows, for JSON. A password in the URL is left out."""
        where = gameLift.where
        return {
            "fleet": "local" if where.local else "AWS",
            "endpoint": where.endpoint and urlsplit(where.endpoint).netloc.rpartition("@")[2],
            "region": self.region,
            "group": self.group,
            "instanceId": self.instance.instanceId,
        }


async def discover(
    target: AWSTarget | LocalTarget,
    http: HTTPClient,
    metadata: InstanceMetadata,
    gameLift: GameLift,
    connectionInfo: ConnectionInfoTemplate,
    environ: Mapping[str, str],
) -> Discovered:
    """
    Read the instance metadata, and at the same time import boto3. Then make boto3's client.

    @param environ: the variables that the C{endpointConfig} of C{gameLift} was made from.
    @raise NoIdentity: if the instance, its address or its group is not known. Do not retry.
    @raise CallFailed: if boto3 does not start. Do not retry.
    """
    warnOfTwoRegions(target, environ)
    identified = identifyInstance(metadata, target.instanceId, connectionInfo)
    region, instance = await gatherBoth(gameLift.region(), identified)
    region = region or await metadata.get("placement/region")
    await gameLift.open(region)
    group = await groupOf(target, http, instance.instanceId)
    logTarget(target, region, group)
    return Discovered(group, region, instance)


def warnOfTwoRegions(target: AWSTarget | LocalTarget, environ: Mapping[str, str]) -> None:
    """Log a warning if the region depends on which of two variables takes precedence."""
    first, second = environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION")
    ambiguous = isinstance(target, AWSTarget) and target.region is None
    if ambiguous and first and second and first != second:
        _log.warn(
            "AWS_REGION is {first}, AWS_DEFAULT_REGION is {second}: using {first}.",
            first=first,
            second=second,
            eventName="process.twoRegions",
        )


async def groupOf(target: AWSTarget | LocalTarget, http: HTTPClient, instanceId: str) -> str:
    """
    Return the game server group of the instance. For a local FleetIQ, this sends a request.

    @raise NoMetadata: if no local FleetIQ responds.
    @raise NoIdentity: if the local FleetIQ does not have the instance.
    """
    if isinstance(target, AWSTarget):
        return target.group
    try:
        response = await http.get(f"{target.url}/_local/state")
        instances = json.loads(await response.content())["instances"]
        groups = {each["InstanceId"]: str(each["GameServerGroupName"]) for each in instances}
    except Exception as error:
        raise NoMetadata(f"No local FleetIQ responds at {target.url}: {error!r}.") from error
    if instanceId in groups:
        return groups[instanceId]
    raise NoIdentity(f"The local FleetIQ at {target.url} has no instance {instanceId}.")


def logTarget(target: AWSTarget | LocalTarget, region: str | None, group: str) -> None:
    """Log the FleetIQ of AWS. A local one is in the first line of the log already."""
    if isinstance(target, AWSTarget):
        _log.info(
            "{fleetIQ} in {region}, group {group}.",
            fleetIQ=f"FleetIQ on {target.endpoint}" if target.endpoint else "AWS FleetIQ",
            region=region,
            group=group,
            eventName="process.fleetiq",
        )


async def gatherBoth(first: Deferred[T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Run both at the same time. Return both results, or raise the first failure."""
    other = Deferred.fromCoroutine(second)
    pair: list[Deferred[Any]] = [first, other]
    try:
        await gatherResults(pair, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
    return await first, await other
