"""The identity of this instance, and the ConnectionInfo that players connect to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from twisted.logger import Logger

from echoserver.address import bracketed
from echoserver.ec2.metadata import InstanceMetadata, NoIdentity, NoMetadata

_log = Logger(namespace="fleetiq.ec2")

MAX_CONNECTION_INFO = 512

_PATHS = {
    "public_hostname": "public-hostname",
    "public_ipv4": "public-ipv4",
    "local_ipv4": "local-ipv4",
    "ipv6": "ipv6",
}
_HOST_PATHS = ("public-hostname", "public-ipv4", "local-hostname", "local-ipv4", "ipv6")
FIELDS = ("host", "port", *_PATHS, "instance_id", "index")


@dataclass(frozen=True, slots=True)
class ConnectionInfoTemplate:
    """
    The value of C{--connection-info}: plain text with fields in braces.

    @ivar template: text with any of L{FIELDS}, for example C{{host}:{port}}. C{host} is the first
        host name or address in the metadata. An IPv6 address is filled in with brackets.
    """

    template: str

    @property
    def fields(self) -> set[str]:
        """
        The fields in use, with conversion and format specification if they have one.

        @raise ValueError: if the braces do not match.
        """
        return {
            name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            for _, name, spec, conversion in Formatter().parse(self.template)
            if name is not None
        }

    def check(self) -> None:
        """
        Check everything that can be checked before the values are known.

        @raise ValueError: with a sentence, if L{fill} cannot succeed.
        """
        allowed = ", ".join(f"{{{field}}}" for field in FIELDS)
        try:
            unknown = [name for name in self.fields if name not in FIELDS]
        except ValueError as error:
            raise ValueError(f"'{self.template}' is not a valid template: {error}.") from error
        if unknown:
            raise ValueError(
                f"'{self.template}' has the unknown field {{{unknown[0]}}}; the fields are"
                f" {allowed}."
            )
        if not self.template.strip():
            raise ValueError(f"it is blank; write text with any of the fields {allowed}.")
        length = sum(len(text) for text, *_ in Formatter().parse(self.template))
        if length > MAX_CONNECTION_INFO:
            raise ValueError(
                f"it has {length} characters; FleetIQ allows 1 to {MAX_CONNECTION_INFO}."
            )

    def fill(self, values: Mapping[str, str], port: int, index: int) -> str:
        """
        Return the ConnectionInfo of one game server.

        @param values: L{Instance.values}.
        @param port: the bound port; 0 if the endpoint has none, as a UNIX socket.
        @param index: the number of the game server in this process, from 0.
        @raise NoIdentity: if the template needs a port and there is none, or if the result is too
            long for FleetIQ.
        """
        if not port and "port" in self.fields:
            raise NoIdentity(
                "The --listen endpoint has no port for players: write their address in"
                " --connection-info, without {port}."
            )
        info = self.template.format(**values, port=port, index=index)
        if len(info) > MAX_CONNECTION_INFO:
            raise NoIdentity(
                f"--connection-info has {len(info)} characters with its fields filled in; FleetIQ"
                f" allows 1 to {MAX_CONNECTION_INFO}. Shorten it."
            )
        return info


@dataclass(frozen=True, slots=True)
class Instance:
    """
    The identity of this instance.

    @ivar source: where the instance id comes from, as text for the log.
    @ivar values: the field values for L{ConnectionInfoTemplate.fill}.
    """

    instanceId: str
    source: str
    values: Mapping[str, str]


async def identifyInstance(
    metadata: InstanceMetadata, instanceId: str | None, template: ConnectionInfoTemplate
) -> Instance:
    """
    Read from the metadata only what is needed: the instance id if it is None, and the values of the
    fields that the template uses.

    @raise NoIdentity: if the metadata does not have one of them. Do not retry.
    """
    source = "--instance-id"
    if instanceId is None:
        source = "the instance metadata"
        instanceId = await metadata.get("instance-id")
        if instanceId is None:
            raise NoMetadata("The instance metadata has no instance-id.")
    return Instance(instanceId, source, await templateValues(metadata, instanceId, template))


async def templateValues(
    metadata: InstanceMetadata, instanceId: str, template: ConnectionInfoTemplate
) -> dict[str, str]:
    """
    Return the values of the template's fields, except C{port} and C{index}.

    @raise NoIdentity: if the instance does not have one of them.
    """
    values = {"instance_id": instanceId}
    for field, path in _PATHS.items():
        if field not in template.fields:
            continue
        value = await metadata.get(path)
        if value is None:
            raise NoIdentity(
                f"This instance has no {path}: write --connection-info without {{{field}}}."
            )
        values[field] = bracketed(value)
    if "host" in template.fields:
        values["host"] = await _host(metadata)
    return values


async def _host(metadata: InstanceMetadata) -> str:
    for path in _HOST_PATHS:
        value = await metadata.get(path)
        if value is None:
            continue
        if path.startswith("local-"):
            _log.warn(
                "ConnectionInfo has the private address {host} ({path}): this instance has no"
                " public address. Players must be in its network.",
                host=value,
                path=path,
                eventName="instance.privateAddress",
            )
        return bracketed(value)
    raise NoIdentity("This instance has no address in its metadata: give --connection-info.")
