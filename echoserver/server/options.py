"""The options of a game server's command, parsed and checked. An error is one sentence."""

from __future__ import annotations

import getopt
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.python import usage
from twisted.python.reflect import namedAny

from echoserver.ec2.identity import ConnectionInfoTemplate
from echoserver.ec2.interruption import InterruptionConfig
from echoserver.gamelift.service import checkData
from echoserver.ratelimit import TokenBucket
from echoserver.server.config import GameServerConfig, Settings
from echoserver.server.discovery import AWSTarget, EmbeddedTarget, LocalTarget
from echoserver.server.endpoints import descriptions

LISTEN = "tcp:5000"
LOCAL = "tcp:4570:interface=127.0.0.1"
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_GAMELIFT"
# A quarter of the calls that AWS accepts from an account a second, half of its burst.
API_RATE = TokenBucket(5.0, 20)
SESSION_POLICIES = ("players", "manual", "claim")
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

Target = AWSTarget | EmbeddedTarget | LocalTarget


def checked(option: str, check: Callable[[], Any]) -> Any:
    """Return the result of C{check}; a ValueError becomes a usage error that names the option."""
    try:
        return check()
    except ValueError as error:
        raise usage.UsageError(f"--{option}: {error}") from error


def whole(options: usage.Options, name: str, least: int) -> int:
    """Return a whole number from C{least} to 65535."""
    value: str = options[name]
    if not (re.fullmatch("[0-9]{1,5}", value) and least <= int(value) <= 65535):
        raise wrong(name, value, f"a whole number from {least} to 65535")
    return int(value)


def limit(options: usage.Options, name: str) -> int | None:
    """Return a whole number from 1 to 65535; None if the option is not given."""
    return None if options[name] is None else whole(options, name, 1)


def seconds(options: usage.Options, name: str, least: float) -> float:
    """Return a number of seconds, at least C{least}."""
    value: str = options[name]
    if not (re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) and float(value) >= least):
        raise wrong(name, value, f"seconds from {least:.0f} to 999999, for instance 60")
    return float(value)


def secondsOrNever(options: usage.Options, name: str) -> float:
    """Return a number of seconds, at least 1; 0 for never."""
    value = seconds(options, name, 0)
    if 0 < value < 1:
        raise wrong(name, options[name], "1 or more, or 0 for never")
    return value


def rate(options: usage.Options, name: str) -> TokenBucket:
    """Return a token bucket from RATE or RATE,BURST; the default burst is that of four seconds."""
    value: str = options[name]
    words = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)(?:,([0-9]{1,4}))?", value)
    perSecond = float(words[1]) if words else 0.0
    burst = float((words and words[2]) or max(1, int(4 * perSecond)))
    if perSecond < 0.1 or burst < 1:
        allowed = "RATE or RATE,BURST, from 0.1 and 1 to 9999, for instance 5 or 5,20"
        raise wrong(name, value, allowed)
    return TokenBucket(perSecond, burst)


def matching(options: usage.Options, name: str, pattern: str, allowed: str) -> str | None:
    """Return a value that matches the whole pattern; None if the option is not given."""
    value: str | None = options[name]
    if value is not None and not re.fullmatch(pattern, value):
        raise wrong(name, value, allowed)
    return value


def oneOf(options: usage.Options, name: str, *words: str) -> str:
    """Return a value that is one of these words."""
    value: str = options[name]
    if value not in words:
        raise wrong(name, value, " or ".join(words))
    return value


def wrong(name: str, value: str, allowed: str) -> usage.UsageError:
    """Return the error for a wrong value: the option, the value, what is allowed."""
    return usage.UsageError(f"--{name} is {quoted(value)}: write {allowed}.")


def quoted(value: str) -> str:
    """Return a value quoted, and shortened to 80 characters."""
    return repr(value if len(value) <= 80 else f"{value[:77]}...")


class GameServerOptions(usage.Options):
    """
    The options of each command that runs game servers. See L{optionsFor}.

    @cvar command: the command of twistd, for messages.
    @cvar factory: the full name of the callable that makes a factory; None adds C{--factory}.
    @cvar sessionPolicy: the default of C{--session-policy}.
    @ivar settings: the settings, once parsed.
    @ivar makeFactory: the callable that makes the factory of a game server, once parsed.
    """

    command = "fleetiq-game"
    factory: str | None = None
    synopsis = "[options]"
    longdesc = "Without --group the command starts a FleetIQ of its own, and AWS is not contacted."
    optParameters: list[Sequence[Any]] = [  # noqa: RUF012 # usage.Options reads it from the class
        ["listen", None, LISTEN, "Endpoint description of the game port."],
        ["servers", None, "1", "Game servers in this process, on consecutive ports."],
        ["group", None, None, "Game server group; if omitted, a local FleetIQ is embedded."],
        [
            "local",
            None,
            None,
            (
                f"Endpoint description of the embedded FleetIQ ({LOCAL}), or"
                " http://HOST:PORT[/instances/ID] of one that runs already."
            ),
        ],
        ["region", None, None, "AWS region; else AWS_REGION, the profile's, the instance's."],
        ["instance-id", None, None, "EC2 instance id; else that of the instance metadata."],
        ["connection-info", None, "{host}:{port}", "Address that players connect to."],
        [
            "game-server-id",
            None,
            None,
            "A fixed game server id; else each registration has another.",
        ],
        [
            "api-rate",
            None,
            None,
            (
                "RATE or RATE,BURST: calls to FleetIQ a second, and at once, of this process"
                f" ({API_RATE.rate:.0f},{API_RATE.burst:.0f}; no limit for a local FleetIQ)."
            ),
        ],
        ["game-server-data", None, None, "GameServerData of the registration."],
        ["max-players", None, None, "Players of each game server; no limit if omitted."],
        ["max-players-per-address", None, None, "Players of each game server from one address."],
        ["accept-rate", None, None, "RATE or RATE,BURST: connections a second, and at once."],
        [
            "admission",
            None,
            "open",
            "Admit connections always (open), or after a claim (claimed).",
        ],
        ["session", None, "reregister", "After a session: reregister, or exit."],
        [
            "session-policy",
            None,
            None,
            "When a session runs: players, manual, or claim.",
        ],
        ["claim-timeout", None, "60", "Seconds a session waits for players, with policy claim."],
        ["heartbeat", None, "60", "Seconds without a health report before a heartbeat."],
        [
            "idle-timeout",
            None,
            "0",
            "Seconds without data that end a connection. 0: never.",
        ],
        ["status", None, None, "Endpoint description for /healthz, /readyz, /status, /metrics."],
        ["state-dir", None, None, "Folder that keeps ids for a restart; else STATE_DIRECTORY."],
        [
            "grace",
            None,
            None,
            (
                "Seconds that running sessions have when the process is told to stop"
                f" ({_GRACE:.0f}, embedded {_GRACE_EMBEDDED:.0f})."
            ),
        ],
        ["on-rebalance", None, "log", "On an EC2 rebalance recommendation: log, or drain."],
        [
            "instance-status",
            None,
            "60",
            "Seconds between checks of the instance's status in FleetIQ. 0: never.",
        ],
    ]
    optFlags: list[Sequence[Any]] = []  # noqa: RUF012 # usage.Options reads it from the class
    sessionPolicy = "players"

    settings: Settings
    makeFactory: Callable[[Any], Any]

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._environ = environ

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """@raise SystemExit: with a message and status 1; twistd itself would end with 0."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            unknown = isinstance(error.__context__, getopt.GetoptError)
            hint = f"; 'twistd {self.command} --help' lists the options." if unknown else ""
            raise SystemExit(f"twistd {self.command}: {error}{hint}") from error

    def parseArgs(self, *rest: str) -> None:
        if rest:
            raise usage.UsageError(
                f"{quoted(rest[0])} is one word too many: options begin with --, and a value with"
                " blanks stands in quotes."
            )

    def postOptions(self) -> None:
        parent = self.parent
        if parent is not None and parent.get("nodaemon") and parent["pidfile"] == "twistd.pid":
            # In the foreground a pid file only keeps a second process out of this folder.
            parent["pidfile"] = ""
        servers = whole(self, "servers", 1)
        target = self._target()
        if self["game-server-id"] is not None and servers > 1:
            raise usage.UsageError(
                f"--game-server-id names one game server, --servers asks for {servers}: leave one"
                " of them out."
            )
        self.settings = Settings(
            target=target,
            listen=tuple(checked("listen", lambda: descriptions(self["listen"], servers))),
            connectionInfo=self._connectionInfo(),
            gameServer=self._gameServer(target),
            interruption=InterruptionConfig(
                leaveOnRebalance=oneOf(self, "on-rebalance", "log", "drain") == "drain",
                statusEvery=secondsOrNever(self, "instance-status"),
            ),
            apiRate=self._apiRate(target),
            stateDir=self._stateDir(),
            status=self["status"],
            gameServerId=matching(
                self, "game-server-id", _SERVER_ID, "3 to 128 letters, digits, '.' or '-'"
            ),
            gameServerData=self._data(),
            foreground=parent is None or bool(parent.get("nodaemon")),
        )
        self.makeFactory = self._makeFactory()

    def _gameServer(self, target: Target) -> GameServerConfig:
        grace = _GRACE_EMBEDDED if isinstance(target, EmbeddedTarget) else _GRACE
        if self["session-policy"] is None:
            self["session-policy"] = self.sessionPolicy
        return GameServerConfig(
            heartbeat=seconds(self, "heartbeat", 1),
            grace=grace if self["grace"] is None else seconds(self, "grace", 0),
            maxPlayers=limit(self, "max-players"),
            maxPerAddress=limit(self, "max-players-per-address"),
            acceptRate=None if self["accept-rate"] is None else rate(self, "accept-rate"),
            claimedOnly=oneOf(self, "admission", "open", "claimed") == "claimed",
            oneSession=oneOf(self, "session", "reregister", "exit") == "exit",
            sessionPolicy=oneOf(self, "session-policy", *SESSION_POLICIES),
            claimTimeout=seconds(self, "claim-timeout", 1),
            idleTimeout=secondsOrNever(self, "idle-timeout"),
        )

    def _makeFactory(self) -> Callable[[Any], Any]:
        name = self.factory or self.get("factory")
        if name is None:
            raise usage.UsageError(
                "--factory is missing: name the callable that makes your protocol factory, for"
                " instance --factory mygame.makeFactory."
            )
        try:
            makeFactory: Callable[[Any], Any] = namedAny(name)
        except Exception as error:
            # Importing a game runs its code, which may raise anything.
            raise usage.UsageError(
                f"--factory {quoted(name)} cannot be imported ({type(error).__name__}: {error}):"
                " write MODULE.CALLABLE, with the module's folder on PYTHONPATH."
            ) from error
        if not callable(makeFactory):
            raise usage.UsageError(
                f"--factory {quoted(name)} is not callable: name a function that takes a game"
                " server and returns a protocol factory."
            )
        return makeFactory

    def _target(self) -> Target:
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
            return AWSTarget(group, self["region"], instanceId, endpoint)
        for option in ("region", "instance-id"):
            if self[option] is not None:
                raise usage.UsageError(
                    f"--{option} is for AWS: name a --group too, or leave it out to use the"
                    " local FleetIQ."
                )
        if endpoint := self._environ.get(ENDPOINT_VARIABLE):
            raise usage.UsageError(
                f"{ENDPOINT_VARIABLE} is {quoted(endpoint)}, but no --group is named: name one,"
                " or unset it to use the local FleetIQ."
            )
        if local is None or not local.startswith(("http:", "https:")):
            return EmbeddedTarget(LOCAL if local is None else local)
        url = re.fullmatch(_LOCAL_URL, local)
        if url is None or not 1 <= int(url["port"]) <= 65535:
            raise wrong("local", local, "http://HOST:PORT, or http://HOST:PORT/instances/ID")
        return LocalTarget(url["api"], local.rstrip("/"))

    def _connectionInfo(self) -> ConnectionInfoTemplate:
        info = ConnectionInfoTemplate(self["connection-info"])
        checked("connection-info", info.check)
        return info

    def _apiRate(self, target: Target) -> TokenBucket | None:
        value: str | None = self["api-rate"]
        if value is None:
            return API_RATE if isinstance(target, AWSTarget) else None
        return rate(self, "api-rate")

    def _stateDir(self) -> str | None:
        given: str | None = self["state-dir"]
        if given is not None and not given.strip():
            raise wrong("state-dir", given, "a folder that this user may write in")
        # systemd sets it, to several with colons between them if a unit asks for several.
        return given or self._environ.get("STATE_DIRECTORY", "").partition(":")[0] or None

    def _data(self) -> str | None:
        data: str | None = self["game-server-data"]
        if data is not None:
            try:
                checkData(data)
            except ValueError as error:
                message = str(error).replace("GameServerData", "--game-server-data", 1)
                raise usage.UsageError(f"{message} Shorten it, or leave it out.") from error
        return data


def optionsFor(
    command: str,
    factory: str | None,
    description: str,
    gameOptions: type[usage.Options] | None = None,
    sessionPolicy: str = "players",
) -> type[GameServerOptions]:
    """
    Return the class of the options of a command: those of L{GameServerOptions} and the game's.

    @param factory: see L{GameServerOptions.factory}.
    @param gameOptions: options of the game. Its C{postOptions} is called after ours.
    @raise TypeError: if an option of the game has the name of one of ours.
    """
    own = GameServerOptions
    parameters, flags = list(own.optParameters), list(own.optFlags)
    if factory is None:
        parameters.insert(
            0, ["factory", None, None, "Callable that makes the protocol factory: MODULE.CALLABLE."]
        )
    bases: tuple[type, ...] = (own,)
    if gameOptions is not None:
        theirs = [*getattr(gameOptions, "optParameters", ()), *getattr(gameOptions, "optFlags", ())]
        clash = {each[0] for each in theirs} & {each[0] for each in [*parameters, *flags]}
        if clash:
            raise TypeError(
                f"The options of {command} have the names of options of every game server:"
                f" {', '.join(sorted(clash))}. Give them other names."
            )
        bases = (own, gameOptions)

    def postOptions(self: GameServerOptions) -> None:
        own.postOptions(self)
        if gameOptions is not None:
            gameOptions.postOptions(self)

    return type(
        "Options",
        bases,
        {
            "command": command,
            "factory": factory,
            "longdesc": f"{description} {own.longdesc}",
            "optParameters": parameters,
            "optFlags": flags,
            "sessionPolicy": sessionPolicy,
            "postOptions": postOptions,
        },
    )
