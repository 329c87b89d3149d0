"""Find the FleetIQ to call, and the identity of this instance."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from treq.client import HTTPClient

_log = Logger(namespace="fleetiq.server")

DEFAULT_URL = LOCAL_FLEETIQ_URL


@dataclass(frozen=True, slots=True)
class AWS:
    """
    The FleetIQ of AWS, or one that speaks as AWS does.

    @ivar region: None leaves it to the variables, the profile, and the instance.
    @ivar instanceId: None leaves it to the instance metadata.
    @ivar endpoint: the URL of another FleetIQ than AWS's own.
    """

    group: str
    region: str | None = None
    instanceId: str | None = None
    endpoint: str | None = None

    hint: ClassVar = (
        " Leave out --group to use the local FleetIQ, or give --region, --instance-id and"
        " --connection-info."
    )

    def where(self, environ: Mapping[str, str]) -> EndpointConfig:
        """Where to call; two variables for the region that differ are warned of."""
        first, second = environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION")
        if first and second and first != second and self.region is None:
            _log.warn(
                "AWS_REGION is {first}, AWS_DEFAULT_REGION is {second}: {first} it is.",
                first=first,
                second=second,
            )
        return EndpointConfig(region=self.region or first or second, endpoint=self.endpoint)

    def metadataURL(self, environ: Mapping[str, str]) -> str:
        """
        @raise NoMetadata: if the variables leave none.
        """
        return serviceURL(environ)

    async def groupOf(self, http: HTTPClient, instanceId: str) -> str:
        """The group that was named."""
        return self.group

    def tell(self, region: str | None, group: str) -> None:
        """One line that says where we speak."""
        _log.info(
            "{whose} in {region}, group {group}.",
            whose=f"FleetIQ on {self.endpoint}" if self.endpoint else "AWS FleetIQ",
            region=region,
            group=group,
        )

    def playCommand(self, region: str | None, group: str) -> str:
        """What to type after C{fleetiq} in another terminal."""
        endpoint = f"--endpoint-url {self.endpoint} " if self.endpoint else ""
        return f"{endpoint}--region {region} --group {group} play"


@dataclass(frozen=True, slots=True)
class Local:
    """
    A local FleetIQ.

    @ivar url: of its API.
    @ivar metadata: the URL of the metadata service of the instance we are to be.
    """

    url: str
    metadata: str

    instanceId: ClassVar = None
    hint: ClassVar = " Start one with 'twistd -n fleetiq-local', or leave out --local."

    def where(self, environ: Mapping[str, str]) -> EndpointConfig:
        """Where to call, with dummy credentials."""
        return EndpointConfig(endpoint=self.url, local=True)

    def metadataURL(self, environ: Mapping[str, str]) -> str:
        """The instance's own."""
        return self.metadata

    async def groupOf(self, http: HTTPClient, instanceId: str) -> str:
        """
        The group of the instance.

        @raise NoMetadata: if no local FleetIQ answers.
        @raise NoIdentity: if it does not know the instance.
        """
        try:
            response = await http.get(f"{self.url}/_local/state")
            instances = (await response.json())["instances"]
            groups = {each["InstanceId"]: str(each["GameServerGroupName"]) for each in instances}
        except Exception as error:
            raise NoMetadata(f"No local FleetIQ answers at {self.url}: {error!r}.") from error
        if instanceId in groups:
            return groups[instanceId]
        raise NoIdentity(f"The local FleetIQ at {self.url} has no instance {instanceId}.")

    def tell(self, region: str | None, group: str) -> None:
        """Nothing: the first line of the log has said it."""

    def playCommand(self, region: str | None, group: str) -> str:
        """What to type after C{fleetiq} in another terminal."""
        if self.url == DEFAULT_URL:
            return "play"
        return f"--endpoint-url {self.url} --group {group} play"


T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Discovered:
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
    connectionInfo: ConnectionInfoTemplate,
) -> Discovered:
    """
    Ask the metadata, import boto3 and make its client, side by side.

    @raise NoIdentity: if nobody says which instance this is.
    @raise CallFailed: if boto3 does not start. Do not retry.
    """
    identified = identifyInstance(metadata, fleet.instanceId, connectionInfo)
    region, instance = await both(gameLift.region(), identified)
    region = region or await metadata.get("placement/region")
    await gameLift.open(region)
    group = await fleet.groupOf(http, instance.instanceId)
    fleet.tell(region, group)
    return Discovered(group, region, instance)


async def both(first: Deferred[T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Side by side: what both bring, or the first failure."""
    other = Deferred.fromCoroutine(second)
    pair: list[Deferred[Any]] = [first, other]
    try:
        await gatherResults(pair, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
    return await first, await other
