"""Which FleetIQ endpoint a command uses: from its options and the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from click import UsageError

from echoserver.address import LOCAL_FLEETIQ_URL
from echoserver.gamelift.client import EndpointConfig
from echoserver.gamelift.errors import CallFailed

_NOT_REACHED = {"EndpointConnectionError", "ConnectTimeoutError"}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "UnrecognizedClientException"}
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}")
# What botocore accepts. An endpoint that is not AWS can have a region of any name.
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def resolveEndpoint(
    group: str | None,
    region: str | None,
    endpoint: str | None,
    environ: Mapping[str, str],
    *,
    usesGroup: bool = True,
) -> EndpointConfig:
    """
    Choose the FleetIQ endpoint from the options and the environment.

    If an endpoint is given, use it. Else, if a group is given, use AWS. Else use the local FleetIQ.
    AWS_ENDPOINT_URL is meant for all AWS services, so it has an effect only if a group is given.

    @param usesGroup: whether the command needs a group; if not, a region selects AWS.
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
    if group is not None or (region is not None and not usesGroup):
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
    isURL = endpoint.isascii() and endpoint.isprintable() and " " not in endpoint
    if not isURL or not host or parts.scheme not in ("http", "https"):
        raise UsageError(f"The endpoint {endpoint!r} is not a valid URL: use http://HOST:PORT.")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def checkRegion(region: str, config: EndpointConfig) -> None:
    """@raise UsageError: if no AWS region has this form."""
    pattern = _HOST_LABEL if config.endpoint else _REGION
    if not pattern.fullmatch(region):
        raise UsageError(
            f"The region {region!r} is not the name of an AWS region, such as ap-northeast-2. "
            "Check --region, AWS_REGION, AWS_DEFAULT_REGION and the profile."
        )


def notRunning(url: str) -> str:
    """Return the message that no local FleetIQ responds at this URL."""
    return (
        f"No local FleetIQ responds on {url}: start one with 'make run' or "
        "'twistd -n fleetiq-local', or select another with --endpoint-url."
    )


def explain(reason: CallFailed, config: EndpointConfig | None) -> str:
    """Return the message of a failed call, with what to do about this endpoint."""
    if config is not None and config.local and reason.code in _NOT_REACHED:
        return notRunning(config.endpoint or "")
    if config is not None and config.endpoint is None and reason.code in _NO_CREDENTIALS:
        return f"{reason} {localGroupHint()}"
    return str(reason)


def localGroupHint() -> str:
    """Return how to name a group of the local FleetIQ, because --group alone selects AWS."""
    return f"For a group of the local FleetIQ, add --endpoint-url {LOCAL_FLEETIQ_URL}."
