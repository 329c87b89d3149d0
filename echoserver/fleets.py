"""Which FleetIQ a server speaks to: the one of AWS, or a local one of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from twisted.logger import Logger

from echoserver.ec2.metadata import NoIdentity, NoMetadata, serviceURL
from echoserver.gamelift.aws import Where

if TYPE_CHECKING:
    from treq.client import HTTPClient

DEFAULT_URL = "http://127.0.0.1:4570"


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

    waysOut: ClassVar = (
        " Leave out --group to use the local FleetIQ, or give --region, --instance-id and"
        " --connection-info."
    )
    _log: ClassVar = Logger()

    def where(self, environ: Mapping[str, str]) -> Where:
        """Where to call; two variables for the region that differ are warned of."""
        first, second = environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION")
        if first and second and first != second and self.region is None:
            self._log.warn(
                "AWS_REGION is {first}, AWS_DEFAULT_REGION is {second}: {first} it is.",
                first=first,
                second=second,
            )
        return Where(region=self.region or first or second, endpoint=self.endpoint)

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
        self._log.info(
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
    waysOut: ClassVar = " Start one with 'twistd -n fleetiq-local', or leave out --local."

    def where(self, environ: Mapping[str, str]) -> Where:
        """Where to call, with dummy credentials."""
        return Where(endpoint=self.url, local=True)

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
