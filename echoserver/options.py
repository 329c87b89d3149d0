"""What may be said on the command line of C{twistd fleetiq-echo}; what is wrong is one sentence."""

from __future__ import annotations

import getopt
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.python import usage

from echoserver.bucket import Bucket
from echoserver.checks import atMost, checked, matching, oneOf, rate, seconds, shown, whole, wrong
from echoserver.ec2.instance import ConnectionInfo
from echoserver.ec2.interruption import Watching
from echoserver.fleets import AWS, Local
from echoserver.gameserver import Rules
from echoserver.ports import descriptions

LISTEN = "tcp:5000"
LOCAL = "tcp:4570:interface=127.0.0.1"
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_GAMELIFT"
# A quarter of the calls that AWS takes from an account a second, half of its burst.
API_RATE = Bucket(5.0, 20)
_GRACE = 20.0
_GRACE_EMBEDDED = 3.0
# The patterns of botocore's model of GameLift 2015-10-01, matched in full.
_GROUP = r"[a-zA-Z0-9.-]{1,128}|arn:.{1,200}:gameservergroup/[a-zA-Z0-9.-]{1,128}"
_SERVER_ID = r"[a-zA-Z0-9.-]{3,128}"
_INSTANCE_ID = r"i-[0-9a-zA-Z]{17}"
_LOCAL_URL = (
    r"(?P<api>http://([a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\]):(?P<port>[0-9]{1,5}))"
    rf"(/instances/{_INSTANCE_ID})?/?"
)


@dataclass(frozen=True, slots=True)
class Embedded:
    """A local FleetIQ to be started in this process, at this endpoint description."""

    listen: str


@dataclass(frozen=True, slots=True)
class Settings:
    """
    All that was asked for, checked.

    @ivar listen: an endpoint description for each game server.
    @ivar idleTimeout: seconds without a byte after which a player is let go; 0 for never.
    @ivar foreground: whether twistd stays in the foreground: with C{-n}.
    """

    fleet: AWS | Embedded | Local
    listen: tuple[str, ...]
    connectionInfo: ConnectionInfo
    rules: Rules
    watching: Watching
    apiRate: Bucket | None
    stateDir: str | None
    status: str | None
    gameServerId: str | None
    gameServerData: str | None
    idleTimeout: float
    showBytes: bool
    foreground: bool


class Options(usage.Options):
    """
    @ivar settings: what was asked for, once parsed.
    """

    synopsis = "[options]"
    longdesc = (
        "A TCP echo game server on Amazon GameLift FleetIQ. Without --group it brings its own"
        " FleetIQ along, and AWS is not contacted."
    )
    optParameters: list[Sequence[Any]] = [  # noqa: RUF012 # usage.Options reads it from the class
        ["listen", None, LISTEN, "Endpoint description of the game port."],
        ["servers", None, "1", "Game servers in this process, on consecutive ports."],
        ["group", None, None, "Game server group; none starts the local FleetIQ embedded."],
        [
            "local",
            None,
            None,
            (
                f"Where the embedded FleetIQ listens ({LOCAL}), or"
                " http://HOST:PORT[/instances/ID] to join the one that runs there."
            ),
        ],
        ["region", None, None, "AWS region; else AWS_REGION, the profile's, the instance's."],
        ["instance-id", None, None, "EC2 instance id; else the instance metadata is asked."],
        ["connection-info", None, "{host}:{port}", "What players are told to connect to."],
        ["game-server-id", None, None, "A fixed game server id; else one is drawn."],
        [
            "api-rate",
            None,
            None,
            (
                "RATE or RATE,BURST: calls to FleetIQ a second, and at once, of this process"
                f" ({API_RATE.rate:.0f},{API_RATE.burst:.0f}; no limit for a local FleetIQ)."
            ),
        ],
        ["game-server-data", None, None, "A string published with the registration."],
        ["max-players", None, None, "Players of each game server; no limit if not given."],
        ["max-players-per-address", None, None, "Of these, from one address."],
        ["accept-rate", None, None, "RATE or RATE,BURST: connections a second, and at once."],
        ["admission", None, "open", "Who may come in: open, or claimed."],
        ["session", None, "reregister", "After a session: reregister, or exit."],
        ["heartbeat", None, "60", "Seconds of silence towards FleetIQ before a heartbeat."],
        ["idle-timeout", None, "0", "Seconds without a byte; then a player is let go. 0: never."],
        ["status", None, None, "Endpoint description for /healthz, /readyz, /status, /metrics."],
        ["state-dir", None, None, "Where ids held are kept for a restart; else STATE_DIRECTORY."],
        [
            "grace",
            None,
            None,
            (
                "Seconds that running sessions get when the process is told to stop"
                f" ({_GRACE:.0f}, embedded {_GRACE_EMBEDDED:.0f})."
            ),
        ],
        ["on-rebalance", None, "log", "When EC2 sees a Spot interruption coming: log, or drain."],
        [
            "instance-status",
            None,
            "60",
            "Seconds between looks at FleetIQ's status of it; 0: never.",
        ],
    ]
    optFlags: list[Sequence[Any]] = [  # noqa: RUF012 # usage.Options reads it from the class
        ["show-bytes", None, "Log what players send, escaped, at most 80 characters."]
    ]

    settings: Settings

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._environ = environ

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """@raise SystemExit: with a sentence and status 1; twistd itself would end with 0."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            unread = isinstance(error.__context__, getopt.GetoptError)
            hint = "; 'twistd fleetiq-echo --help' lists the options." if unread else ""
            raise SystemExit(f"twistd fleetiq-echo: {error}{hint}") from error

    def parseArgs(self, *rest: str) -> None:
        if rest:
            raise usage.UsageError(
                f"{shown(rest[0])} is one word too many: options begin with --, and what has"
                " blanks stands in quotes."
            )

    def postOptions(self) -> None:
        parent = self.parent
        if parent is not None and parent.get("nodaemon") and parent["pidfile"] == "twistd.pid":
            # In the foreground a pid file only keeps a second program out of this folder.
            parent["pidfile"] = ""
        servers = whole(self, "servers", 1)
        fleet = self._fleet()
        grace = _GRACE_EMBEDDED if isinstance(fleet, Embedded) else _GRACE
        if self["game-server-id"] is not None and servers > 1:
            raise usage.UsageError(
                f"--game-server-id names one game server, --servers asks for {servers}: leave one"
                " of them out."
            )
        self.settings = Settings(
            fleet=fleet,
            listen=tuple(checked("listen", lambda: descriptions(self["listen"], servers))),
            connectionInfo=self._connectionInfo(),
            rules=Rules(
                heartbeat=seconds(self, "heartbeat", 1),
                grace=grace if self["grace"] is None else seconds(self, "grace", 0),
                maxPlayers=atMost(self, "max-players"),
                maxPerAddress=atMost(self, "max-players-per-address"),
                acceptRate=None if self["accept-rate"] is None else rate(self, "accept-rate"),
                claimedOnly=oneOf(self, "admission", "open", "claimed") == "claimed",
                oneSession=oneOf(self, "session", "reregister", "exit") == "exit",
            ),
            watching=Watching(
                leaveOnRebalance=oneOf(self, "on-rebalance", "log", "drain") == "drain",
                statusEvery=self._secondsOrNever("instance-status"),
            ),
            apiRate=self._apiRate(fleet),
            stateDir=self._stateDir(),
            status=self["status"],
            gameServerId=matching(
                self, "game-server-id", _SERVER_ID, "3 to 128 letters, digits, '.' or '-'"
            ),
            gameServerData=self._data(),
            idleTimeout=self._secondsOrNever("idle-timeout"),
            showBytes=bool(self["show-bytes"]),
            foreground=parent is None or bool(parent.get("nodaemon")),
        )

    def _fleet(self) -> AWS | Embedded | Local:
        group, local = self["group"], self["local"]
        if group is not None:
            if local is not None:
                raise usage.UsageError(
                    "--group is for AWS, --local for the FleetIQ of this machine: give one."
                )
            matching(self, "group", _GROUP, "1 to 128 letters, digits, '.' or '-', or an ARN")
            matching(self, "region", r"[a-z]{2,}(-[a-z0-9]+)+", "a region such as ap-northeast-2")
            instanceId = matching(
                self, "instance-id", _INSTANCE_ID, "'i-' and 17 letters or digits"
            )
            named = self._environ.get(ENDPOINT_VARIABLE) or self._environ.get("AWS_ENDPOINT_URL")
            endpoint = named or None
            return AWS(group, self["region"], instanceId, endpoint)
        for option in ("region", "instance-id"):
            if self[option] is not None:
                raise usage.UsageError(
                    f"--{option} is for AWS: name a --group too, or leave it out to use the"
                    " local FleetIQ."
                )
        if endpoint := self._environ.get(ENDPOINT_VARIABLE):
            raise usage.UsageError(
                f"{ENDPOINT_VARIABLE} is {shown(endpoint)}, but no --group is named: name one,"
                " or unset it to use the local FleetIQ."
            )
        if local is None or not local.startswith(("http:", "https:")):
            return Embedded(LOCAL if local is None else local)
        url = re.fullmatch(_LOCAL_URL, local)
        if url is None or not 1 <= int(url["port"]) <= 65535:
            raise wrong("local", local, "http://HOST:PORT, or http://HOST:PORT/instances/ID")
        return Local(url["api"], local.rstrip("/"))

    def _connectionInfo(self) -> ConnectionInfo:
        info = ConnectionInfo(self["connection-info"])
        checked("connection-info", info.check)
        return info

    def _secondsOrNever(self, name: str) -> float:
        every = seconds(self, name, 0)
        if 0 < every < 1:
            raise wrong(name, self[name], "1 or more, or 0 for never")
        return every

    def _apiRate(self, fleet: AWS | Embedded | Local) -> Bucket | None:
        value: str | None = self["api-rate"]
        if value is None:
            return API_RATE if isinstance(fleet, AWS) else None
        return rate(self, "api-rate")

    def _stateDir(self) -> str | None:
        given: str | None = self["state-dir"]
        if given is not None and not given.strip():
            raise wrong("state-dir", given, "a folder that this user may write in")
        # systemd sets it, to several with colons between them if a unit asks for several.
        return given or self._environ.get("STATE_DIRECTORY", "").partition(":")[0] or None

    def _data(self) -> str | None:
        data: str | None = self["game-server-data"]
        if data is not None and not (len(data) <= 1024 and re.fullmatch(r".*\S.*", data)):
            raise usage.UsageError(
                f"--game-server-data has {len(data)} characters: FleetIQ takes 1 to 1024 in one"
                " line, and not blanks alone. Shorten it, or leave it out."
            )
        return data
