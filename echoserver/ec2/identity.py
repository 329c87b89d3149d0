"""Who this instance is, and what players are told to connect to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from twisted.logger import Logger

from echoserver.address import bracketed
from echoserver.ec2.metadata import InstanceMetadata, NoIdentity, NoMetadata

_log = Logger(namespace="fleetiq.ec2")

LONGEST = 512

_PATHS = {
    "public_hostname": "public-hostname",
    "public_ipv4": "public-ipv4",
    "local_ipv4": "local-ipv4",
    "ipv6": "ipv6",
}
_HOSTS = ("public-hostname", "public-ipv4", "local-hostname", "local-ipv4", "ipv6")
FIELDS = ("host", "port", *_PATHS, "instance_id", "index")


@dataclass(frozen=True, slots=True)
class ConnectionInfoTemplate:
    """
    What players are told to connect to.

    @ivar template: with L{FIELDS} in braces. C{host} is the first name or address that the
        metadata has; an IPv6 address stands in brackets.
    """

    template: str

    def check(self) -> None:
        """@raise ValueError: with a sentence, if the template cannot be filled in."""
        allowed = ", ".join(f"{{{field}}}" for field in FIELDS)
        try:
            wrong = [name for name in self._fields() if name not in FIELDS]
        except ValueError as error:
            raise ValueError(f"'{self.template}' is no template: {error}.") from error
        if wrong:
            raise ValueError(
                f"'{self.template}' has the field {{{wrong[0]}}}; there are {allowed}."
            )
        if not self.template.strip():
            raise ValueError(f"it is blank; write an address, of {allowed} and plain text.")
        plain = sum(len(text) for text, *_ in Formatter().parse(self.template))
        if plain > LONGEST:
            raise ValueError(f"it has {plain} characters; FleetIQ takes 1 to {LONGEST}.")

    async def known(self, metadata: InstanceMetadata, instanceId: str) -> dict[str, str]:
        """
        The values of the template's fields, but for C{port} and C{index}.

        @raise NoIdentity: if the instance does not have one of them.
        """
        values = {"instance_id": instanceId}
        for field in _PATHS:
            if field not in self._fields():
                continue
            value = await metadata.get(_PATHS[field])
            if value is None:
                raise NoIdentity(
                    f"This instance has no {_PATHS[field]}: give another --connection-info."
                )
            values[field] = bracketed(value)
        if "host" in self._fields():
            values["host"] = await self._host(metadata)
        return values

    def fill(self, values: Mapping[str, str], port: int, index: int) -> str:
        """
        @param port: the one bound; 0 where the endpoint has none.
        @raise NoIdentity: if there is no port to fill in, or it comes out too long for FleetIQ.
        """
        if not port and "port" in self._fields():
            raise NoIdentity(
                "The --listen endpoint has no port for players: say in --connection-info how they"
                " reach it, without {port}."
            )
        info = self.template.format(**values, port=port, index=index)
        if len(info) > LONGEST:
            raise NoIdentity(
                f"--connection-info comes out with {len(info)} characters; FleetIQ takes"
                f" 1 to {LONGEST}."
            )
        return info

    async def _host(self, metadata: InstanceMetadata) -> str:
        for path in _HOSTS:
            value = await metadata.get(path)
            if value is not None:
                if path.startswith("local-"):
                    _log.warn(
                        "Players are told {host}, a private address ({path}): this instance has"
                        " no public one. They must be in its network.",
                        host=value,
                        path=path,
                    )
                return bracketed(value)
        raise NoIdentity("This instance has no address in its metadata: give --connection-info.")

    def _fields(self) -> set[str]:
        return {
            name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            for _, name, spec, conversion in Formatter().parse(self.template)
            if name is not None
        }


@dataclass(frozen=True, slots=True)
class Instance:
    """
    Who we are.

    @ivar source: where the instance id comes from, in words.
    @ivar values: for L{ConnectionInfo.fill}.
    """

    instanceId: str
    source: str
    values: Mapping[str, str]


async def identifyInstance(
    metadata: InstanceMetadata, instanceId: str | None, connectionInfo: ConnectionInfoTemplate
) -> Instance:
    """
    Ask the metadata what is not given. Nothing is asked that is not needed.

    @raise NoIdentity: if it does not say.
    """
    source = "--instance-id"
    if instanceId is None:
        source = "the instance metadata"
        instanceId = await metadata.get("instance-id")
        if instanceId is None:
            raise NoMetadata("The instance metadata has no instance-id.")
    return Instance(instanceId, source, await connectionInfo.known(metadata, instanceId))
