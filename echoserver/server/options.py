"""The command line options of C{twistd fleetiq-echo}, parsed and checked."""

from __future__ import annotations

import getopt
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.python import usage

from echoserver.ec2.identity import ConnectionInfoTemplate
from echoserver.ec2.interruption import InterruptionConfig
from echoserver.ratelimit import TokenBucket
from echoserver.server.discovery import AWS, Local
from echoserver.server.endpoints import descriptions
from echoserver.server.gameserver import GameServerConfig


def checked(option: str, check: Callable[[], Any]) -> Any:
    """What C{check} brings; its ValueError becomes a usage error that names the option."""
    try:
        return check()
    except ValueError as error:
        raise usage.UsageError(f"--{option}: {error}") from error


def whole(options: usage.Options, name: str, least: int) -> int:
    """A whole number from C{least} to 65535."""
    value: str = options[name]
    if not (re.fullmatch("[0-9]{1,5}", value) and least <= int(value) <= 65535):
        raise wrong(name, value, f"a whole number from {least} to 65535")
    return int(value)


def atMost(options: usage.Options, name: str) -> int | None:
    """A limit: a whole number from 1 to 65535, or None where none is given."""
    return None if options[name] is None else whole(options, name, 1)


def seconds(options: usage.Options, name: str, least: float) -> float:
    """A number of seconds from C{least} on."""
    value: str = options[name]
    if not (re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) and float(value) >= least):
        raise wrong(name, value, f"seconds from {least:.0f} to 999999, for instance 60")
    return float(value)


def rate(options: usage.Options, name: str) -> TokenBucket:
    """So many a second, and at once; without a burst, that of four seconds."""
    value: str = options[name]
    words = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)(?:,([0-9]{1,4}))?", value)
    many = float(words[1]) if words else 0.0
    burst = float((words and words[2]) or max(1, int(4 * many)))
    if many < 0.1 or burst < 1:
        allowed = "RATE or RATE,BURST, from 0.1 and 1 to 9999, for instance 5 or 5,20"
        raise wrong(name, value, allowed)
    return TokenBucket(many, burst)


def matching(options: usage.Options, name: str, pattern: str, allowed: str) -> str | None:
    """A value that matches in full, or None where none is given."""
    value: str | None = options[name]
    if value is not None and not re.fullmatch(pattern, value):
        raise wrong(name, value, allowed)
    return value


def oneOf(options: usage.Options, name: str, *words: str) -> str:
    """One of these words."""
    value: str = options[name]
    if value not in words:
        raise wrong(name, value, " or ".join(words))
    return value


def wrong(name: str, value: str, allowed: str) -> usage.UsageError:
    """The error of a wrong value: which option, what it is, what is allowed."""
    return usage.UsageError(f"--{name} is {shown(value)}: write {allowed}.")


def shown(value: str) -> str:
    """A value as sentences show it: quoted, and cut."""
    return repr(value if len(value) <= 80 else f"{value[:77]}...")


LISTEN = "tcp:5000"
LOCAL = "tcp:4570:interface=127.0.0.1"
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_GAMELIFT"
# A quarter of the calls that AWS takes from an account a second, half of its burst.
API_RATE = TokenBucket(5.0, 20)
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
    connectionInfo: ConnectionInfoTemplate
    rules: GameServerConfig
    watching: InterruptionConfig
    apiRate: TokenBucket | None
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
        [
            "state-dir",
            None,
            None,
            "Where ids held are kept for a restart; else STATE_DIRECTORY.",
        ],
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
            rules=GameServerConfig(
                heartbeat=seconds(self, "heartbeat", 1),
                grace=grace if self["grace"] is None else seconds(self, "grace", 0),
                maxPlayers=atMost(self, "max-players"),
                maxPerAddress=atMost(self, "max-players-per-address"),
                acceptRate=None if self["accept-rate"] is None else rate(self, "accept-rate"),
                claimedOnly=oneOf(self, "admission", "open", "claimed") == "claimed",
                oneSession=oneOf(self, "session", "reregister", "exit") == "exit",
            ),
            watching=InterruptionConfig(
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

    def _connectionInfo(self) -> ConnectionInfoTemplate:
        info = ConnectionInfoTemplate(self["connection-info"])
        checked("connection-info", info.check)
        return info

    def _secondsOrNever(self, name: str) -> float:
        every = seconds(self, name, 0)
        if 0 < every < 1:
            raise wrong(name, self[name], "1 or more, or 0 for never")
        return every

    def _apiRate(self, fleet: AWS | Embedded | Local) -> TokenBucket | None:
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
