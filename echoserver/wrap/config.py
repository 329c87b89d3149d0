"""The settings of fleetiq-wrap as values. L{echoserver.wrap.tap} makes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WrapConfig:
    """
    The settings of the child of each game server. Durations are seconds.

    @ivar command: the words of the command; C{{port}} in them is the port of the child.
    @ivar proxies: True if players connect to the game server, which forwards to the child; False
        if they connect to the child.
    @ivar fixedPort: the port that the child listens on; 0 for any free one. Without proxies it is
        the port of the game server.
    @ivar proxyProtocol: C{off}, C{v1} or C{v2}: the header that the child expects of players.
    @ivar startTimeout: time that the child has until it accepts connections.
    @ivar probes: whether the health check connects to the child's port.
    @ivar healthCommand: a command that C{/bin/sh} runs before each heartbeat; None for none.
    @ivar healthURL: a URL that is requested before each heartbeat; None for none.
    @ivar killAfter: time from SIGTERM to SIGKILL.
    @ivar restart: C{always}, C{on-crash} or C{never}.
    @ivar sessionTimeout: without proxies: time after which a session ends; 0 for never.
    """

    command: tuple[str, ...]
    proxies: bool = True
    fixedPort: int = 0
    proxyProtocol: str = "off"
    startTimeout: float = 30.0
    probes: bool = True
    healthCommand: str | None = None
    healthURL: str | None = None
    killAfter: float = 5.0
    restart: str = "never"
    sessionTimeout: float = 0.0

    def childPort(self, publicPort: int) -> int:
        """Return the port that the child listens on; 0 for any free one."""
        return self.fixedPort if self.proxies else publicPort
