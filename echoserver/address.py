"""Host and port as text: parse and format them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from twisted.internet.abstract import isIPv6Address

DEFAULT_PORT = 5000
LOCAL_FLEETIQ_URL = "http://127.0.0.1:4570"


def bracketed(host: str) -> str:
    """Return a host as it is written before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Address:
    """
    The host and port of a game server.

    @ivar host: a host name or an IP address. An IPv6 address has no brackets here.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


_HOST_AND_PORT = re.compile(r"(?:\[([^\]]*)\]|([\w.-]+))(?::([0-9]{1,5}))?")


def parseConnectionInfo(text: str, defaultPort: int = DEFAULT_PORT) -> Address:
    """
    Parse C{host:port}, C{[IPv6]:port}, or a host without a port.

    @param defaultPort: the port to use if the text has none.
    @raise ValueError: if the text has none of these forms. FleetIQ itself accepts any text as
        ConnectionInfo.
    """
    text = text.strip()
    if isIPv6Address(text):
        return Address(text, defaultPort)
    if match := _HOST_AND_PORT.fullmatch(text):
        address, name, digits = match.groups()
        port = int(digits or defaultPort)
        if 1 <= port <= 65535 and (name or isIPv6Address(address)):
            return Address(name or address, port)
    raise ValueError(
        f"ConnectionInfo {text!r} is not an address. Use host:port, [IPv6]:port, or a host."
    )
