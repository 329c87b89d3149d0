"""C{twistd fleetiq-wrap}: its options, and the service that they configure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.python import usage

from echoserver.server.options import optionsFor
from echoserver.server.optionvalues import invalid, oneOf, seconds, whole
from echoserver.server.tap import makeService
from echoserver.wrap.config import WrapConfig

__all__ = ["Options", "makeService"]

DESCRIPTION = "Any executable as a game server on Amazon GameLift FleetIQ."


class WrapOptions(usage.Options):
    """The options of fleetiq-wrap that other games do not have."""

    optParameters: list[Sequence[Any]] = [  # noqa: RUF012 # usage.Options reads it from the class
        [
            "players",
            None,
            "proxy",
            "proxy: forward players to the child; none: they connect to it",
        ],
        ["child-port", None, None, "Port that the child listens on. Default: a free one."],
        ["proxy-protocol", None, "off", "PROXY protocol that the child expects: off, v1 or v2."],
        ["start-timeout", None, "30", "Seconds until the child must accept connections."],
        ["health-command", None, None, "Command that must succeed before each heartbeat."],
        ["health-http", None, None, "URL that must return 2xx before each heartbeat."],
        ["kill-after", None, "5", "Seconds from SIGTERM to SIGKILL for the child."],
        ["restart", None, "never", "Start the child again: always, on-crash or never."],
        [
            "session-timeout",
            None,
            "0",
            "With --players none: maximum seconds of a session. 0: no limit.",
        ],
    ]
    optFlags: list[Sequence[Any]] = [  # noqa: RUF012 # as above
        ["no-probe", None, "Do not connect to the child's port in health checks."],
    ]


_Base: Any = optionsFor(
    "fleetiq-wrap", "echoserver.wrap.game.makeFactory", DESCRIPTION, WrapOptions, "players"
)


class Options(_Base):  # type: ignore[misc] # made at run time
    """
    The options of C{twistd fleetiq-wrap}, and the command after C{--}.

    @ivar wrap: the checked settings of the child; set when the options are parsed.
    """

    synopsis = "[options] -- COMMAND [ARGUMENTS]"
    wrap: WrapConfig

    def parseArgs(self, *command: str) -> None:
        self.words = command

    def postOptions(self) -> None:
        if not self.words:
            raise usage.UsageError(
                "the command is missing: write for example"
                " twistd -n fleetiq-wrap --listen tcp:7777 -- ./server --port {port}."
            )
        proxies = oneOf(self, "players", "proxy", "none") == "proxy"
        port = 0 if self["child-port"] is None else whole(self, "child-port", 1)
        if not proxies:
            self.sessionPolicy = "claim"
            self._useChildPort(port)
        self.wrap = WrapConfig(
            command=self.words,
            proxies=proxies,
            fixedPort=port,
            proxyProtocol=oneOf(self, "proxy-protocol", "off", "v1", "v2"),
            startTimeout=seconds(self, "start-timeout", 1),
            probes=not self["no-probe"],
            healthCommand=self["health-command"],
            healthURL=self._url(),
            killAfter=seconds(self, "kill-after", 0),
            restart=oneOf(self, "restart", "always", "on-crash", "never"),
            sessionTimeout=seconds(self, "session-timeout", 0),
        )
        if proxies and port and self["servers"] != "1":
            raise usage.UsageError(
                "--child-port is for one game server, and there are several: leave it out, and"
                " write {port} in the command."
            )
        super().postOptions()

    def _useChildPort(self, port: int) -> None:
        if not port:
            raise usage.UsageError(
                "--players none needs --child-port: the port that the command listens on, and that"
                " players connect to."
            )
        if self["admission"] != "open":
            raise usage.UsageError("--admission needs --players proxy.")
        self["listen"] = f"child:{port}"
        self["claim-timeout"] = "999999"

    def _url(self) -> str | None:
        url: str | None = self["health-http"]
        if url is not None and not url.startswith(("http://", "https://")):
            raise invalid("health-http", url, "http://127.0.0.1:{port}/health, for example")
        return url
