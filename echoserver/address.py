"""Addresses as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from twisted.internet.abstract import isIPv6Address

DEFAULT_PORT = 5000
LOCAL_FLEETIQ_URL = "http://127.0.0.1:4570"


def bracketed(host: str) -> str:
    """A host as it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a game server. C{host} is a name or an address, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


_HOST_AND_PORT = re.compile(r"(?:\[([^\]]*)\]|([\w.-]+))(?::([0-9]{1,5}))?")


def parseConnectionInfo(text: str, defaultPort: int = DEFAULT_PORT) -> Address:
    """
    Read C{host:port}, C{[IPv6]:port}, or a host alone, for which C{defaultPort} is taken.

    @raise ValueError: it is none of these; FleetIQ takes any text for ConnectionInfo.
    """
    text = text.strip()
    if isIPv6Address(text):
        return Address(text, defaultPort)
    if found := _HOST_AND_PORT.fullmatch(text):
        bracketed, name, digits = found.groups()
        port = int(digits or defaultPort)
        if 1 <= port <= 65535 and (name or isIPv6Address(bracketed)):
            return Address(name or bracketed, port)
    raise ValueError(
        f"ConnectionInfo {text!r} is no address: it should read host:port, [IPv6]:port, or a host."
    )
