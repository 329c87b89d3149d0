"""The command line options of the twistd commands that run game servers, parsed and checked."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.python import usage
from twisted.python.reflect import accumulateClassList, prefixedMethodNames

from echoserver.commandline import CommandOptions
from echoserver.ec2.identity import ConnectionInfoTemplate
from echoserver.ec2.interruption import InterruptionConfig
from echoserver.gamelift.service import checkData
from echoserver.ratelimit import TokenBucket
from echoserver.server.config import GameServerConfig, Settings
from echoserver.server.discovery import AWSTarget, EmbeddedTarget, LocalTarget
from echoserver.server.endpoints import descriptions
from echoserver.server.optionvalues import (
    FACTORY_EXAMPLE,
    checkedBy,
    imported,
    invalid,
    limit,
    matching,
    oneOf,
    quoted,
    rate,
    seconds,
    secondsOrNever,
    whole,
)
from echoserver.server.playerlog import MODES

PORT = "5000"
LOOPBACK = ":interface=127.0.0.1"
LOCAL = "tcp:4570:interface=127.0.0.1"
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_GAMELIFT"
# A quarter of the calls a second that AWS allows an account, and half of the burst.
API_RATE = TokenBucket(5.0, 20)
SESSION_POLICIES = ("players", "manual", "claim")
_GRACE = 20.0
_GRACE_EMBEDDED = 3.0
# The patterns of botocore's model of GameLift 2015-10-01. They must match the whole value.
_GROUP = r"[a-zA-Z0-9.-]{1,128}|arn:.{1,200}:gameservergroup/[a-zA-Z0-9.-]{1,128}"
_SERVER_ID = r"[a-zA-Z0-9.-]{3,128}"
_INSTANCE_ID = r"i-[0-9a-zA-Z]{17}"
_LOCAL_URL = (
    r"(?P<api>http://([a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\]):(?P<port>[0-9]{1,5}))"
    rf"(/instances/{_INSTANCE_ID})?/?"
)


class GameServerOptions(CommandOptions):
    """
    The options of every game. See L{optionsFor}.

    @cvar command: the name of the twistd command, for sentences.
    @cvar factory: the full name of the callable that makes the protocol factory of a game server;
        None if the option C{--factory} names it.
    @cvar sessionPolicy: the default of C{--session-policy}.
    @ivar settings: the checked settings; set when the options are parsed.
    @ivar makeFactory: the imported callable; set when the options are parsed.
    """

    command = "fleetiq-game"
    factory: str | None = None
    sessionPolicy = "players"
    synopsis = "[options]"
    longdesc = (
        "Without --group it starts a local FleetIQ in this process, and does not contact AWS."
    )
    optParameters: list[Sequence[Any]] = [  # noqa: RUF012 # usage.Options reads it from the class
        [
            "listen",
            None,
            None,
            (
                "Endpoint description of the game port, or its number. Default: 5000. A number is a"
                " TCP port: on 127.0.0.1 if FleetIQ is embedded, else on all interfaces."
            ),
        ],
        ["servers", None, "1", "Number of game servers in this process, on consecutive ports."],
        ["group", None, None, "Game server group. Without it, a local FleetIQ is embedded."],
        [
            "local",
            None,
            None,
            (
                f"Endpoint description of the embedded FleetIQ ({LOCAL}), or"
                " http://HOST:PORT[/instances/ID] to join a local FleetIQ that is running."
            ),
        ],
        ["region", None, None, "AWS region. Default: AWS_REGION, the profile's, the instance's."],
        ["instance-id", None, None, "EC2 instance id. Default: from the instance metadata."],
        ["connection-info", None, "{host}:{port}", "The address that FleetIQ gives to players."],
        ["game-server-id", None, None, "A fixed game server id. Default: a random id."],
        [
            "api-rate",
            None,
            None,
            (
                "RATE or RATE,BURST: calls of this process to FleetIQ a second, and at once"
                f" ({API_RATE.rate:.0f},{API_RATE.burst:.0f}; no limit for a local FleetIQ)."
            ),
        ],
        ["game-server-data", None, None, "A string that is published with the registration."],
        ["max-players", None, None, "Maximum players of each game server. Default: no limit."],
        ["max-players-per-address", None, None, "Maximum players from one address."],
        ["accept-rate", None, None, "RATE or RATE,BURST: connections a second, and at once."],
        ["admission", None, "open", "Players that are admitted: open (all), or claimed."],
        ["session", None, "reregister", "After a session: reregister, or exit."],
        [
            "session-policy",
            None,
            None,
            (
                "A session lasts from the first player to the last (players), between two calls of"
                " the game (manual), or from a claim to the last player (claim)."
            ),
        ],
        [
            "claim-timeout",
            None,
            "60",
            "With --session-policy claim: seconds to wait for the first player.",
        ],
        ["heartbeat", None, "60", "Seconds after the last health report until a heartbeat."],
        ["handshake-timeout", None, "10", "Seconds for a TLS handshake, or a PROXY header."],
        [
            "log-players",
            None,
            "summary",
            "Log each player (all), at most 20 lines a second and a count (summary), or none.",
        ],
        ["idle-timeout", None, "0", "Seconds without a byte until a player is closed. 0: never."],
        ["status", None, None, "Endpoint description for /healthz, /readyz, /status, /metrics."],
        [
            "state-dir",
            None,
            None,
            "Directory for the ids to deregister after a crash. Default: STATE_DIRECTORY.",
        ],
        [
            "grace",
            None,
            None,
            (
                "Seconds that running sessions have left when the process is stopped"
                f" ({_GRACE:.0f}, embedded {_GRACE_EMBEDDED:.0f})."
            ),
        ],
        ["on-rebalance", None, "log", "On a rebalance recommendation of EC2: log, or drain."],
        [
            "instance-status",
            None,
            "60",
            "Seconds between requests for the instance's status in FleetIQ. 0: never.",
        ],
    ]

    settings: Settings
    makeFactory: Callable[[Any], Any]

    def parseArgs(self, *rest: str) -> None:
        if rest:
            raise usage.UsageError(
                f"{quoted(rest[0])} is not an option: options begin with --, and a value with"
                " spaces needs quotes."
            )

    def postOptions(self) -> None:
        servers = whole(self, "servers", 1)
        if self["game-server-id"] is not None and servers > 1:
            raise usage.UsageError(
                f"--game-server-id is for one game server, and --servers is {servers}: leave one"
                " of them out."
            )
        target = self._target()
        listen = self._listen(target)
        self.settings = Settings(
            target=target,
            listen=tuple(checkedBy("listen", lambda: descriptions(listen, servers))),
            connectionInfo=self._connectionInfo(),
            gameServer=self._gameServer(
                _GRACE_EMBEDDED if isinstance(target, EmbeddedTarget) else _GRACE
            ),
            interruption=InterruptionConfig(
                drainOnRebalance=oneOf(self, "on-rebalance", "log", "drain") == "drain",
                statusInterval=secondsOrNever(self, "instance-status"),
            ),
            apiRate=self._apiRate(target),
            stateDir=self._stateDir(),
            status=self["status"],
            gameServerId=matching(
                self, "game-server-id", _SERVER_ID, "3 to 128 letters, digits, '.' or '-'"
            ),
            gameServerData=self._gameServerData(),
            foreground=self.foreground,
            pidFile=self.pidFile,
        )
        self.makeFactory = self._makeFactory()
        super().postOptions()  # those of twistd's pid file, and of a game: see optionsFor

    def computed(self) -> Mapping[str, tuple[object, str]]:
        settings, default = self.settings, "default"
        values: dict[str, tuple[object, str]] = {
            "grace": (f"{settings.gameServer.grace:g}", default)
        }
        if self["listen"] is None:
            values["listen"] = (self._listen(settings.target), default)
        if settings.stateDir is not None:
            values["state-dir"] = (settings.stateDir, "environment STATE_DIRECTORY")
        if settings.apiRate is not None:
            rate, burst = settings.apiRate.rate, settings.apiRate.burst
            values["api-rate"] = (f"{rate:g},{burst:g}", default)
        if isinstance(settings.target, EmbeddedTarget):
            values["local"] = (settings.target.listen, default)
        return values

    def _target(self) -> AWSTarget | EmbeddedTarget | LocalTarget:
        group, local = self["group"], self["local"]
        if group is not None and local is not None:
            raise usage.UsageError(
                "--group is for AWS, and --local is for a local FleetIQ: leave one of them out."
            )
        return self._localTarget(local) if group is None else self._awsTarget(group)

    def _listen(self, target: AWSTarget | EmbeddedTarget | LocalTarget) -> str:
        """Return the description of the game port. A trial on a laptop opens no port to others."""
        listen: str = PORT if self["listen"] is None else self["listen"]
        if not re.fullmatch("[0-9]+", listen):
            return listen
        return f"tcp:{listen}{LOOPBACK if isinstance(target, EmbeddedTarget) else ''}"

    def _awsTarget(self, group: str) -> AWSTarget:
        matching(self, "group", _GROUP, "1 to 128 letters, digits, '.' or '-', or an ARN")
        matching(self, "region", r"[a-z]{2,}(-[a-z0-9]+)+", "a region such as ap-northeast-2")
        instanceId = matching(self, "instance-id", _INSTANCE_ID, "'i-' and 17 letters or digits")
        endpoint = self._environ.get(ENDPOINT_VARIABLE) or self._environ.get("AWS_ENDPOINT_URL")
        return AWSTarget(group, self["region"], instanceId, endpoint or None)

    def _localTarget(self, local: str | None) -> EmbeddedTarget | LocalTarget:
        for option in ("region", "instance-id"):
            if self[option] is not None:
                raise usage.UsageError(
                    f"--{option} is for AWS: give --group too, or leave out --{option} to use the"
                    " local FleetIQ."
                )
        if endpoint := self._environ.get(ENDPOINT_VARIABLE):
            raise usage.UsageError(
                f"{ENDPOINT_VARIABLE} is {quoted(endpoint)}, but there is no --group: give"
                " --group, or unset the variable to use the local FleetIQ."
            )
        if local is None or not local.startswith(("http:", "https:")):
            return EmbeddedTarget(LOCAL if local is None else local)
        url = re.fullmatch(_LOCAL_URL, local)
        if url is None or not 1 <= int(url["port"]) <= 65535:
            raise invalid("local", local, "http://HOST:PORT, or http://HOST:PORT/instances/ID")
        return LocalTarget(url["api"], local.rstrip("/"))

    def _gameServer(self, defaultGrace: float) -> GameServerConfig:
        if self["session-policy"] is None:
            self["session-policy"] = self.sessionPolicy
        return GameServerConfig(
            heartbeat=seconds(self, "heartbeat", 1),
            grace=defaultGrace if self["grace"] is None else seconds(self, "grace", 0),
            maxPlayers=limit(self, "max-players"),
            maxPerAddress=limit(self, "max-players-per-address"),
            acceptRate=None if self["accept-rate"] is None else rate(self, "accept-rate"),
            claimedOnly=oneOf(self, "admission", "open", "claimed") == "claimed",
            oneSession=oneOf(self, "session", "reregister", "exit") == "exit",
            sessionPolicy=oneOf(self, "session-policy", *SESSION_POLICIES),
            claimTimeout=seconds(self, "claim-timeout", 1),
            handshakeTimeout=seconds(self, "handshake-timeout", 1),
            idleTimeout=secondsOrNever(self, "idle-timeout"),
            logPlayers=oneOf(self, "log-players", *MODES),
        )

    def _makeFactory(self) -> Callable[[Any], Any]:
        if self.factory is not None:
            return imported("the plugin's factory", self.factory)
        if self["factory"] is None:
            raise usage.UsageError(f"--factory is missing: give --factory {FACTORY_EXAMPLE}.")
        return imported("--factory", self["factory"])

    def _connectionInfo(self) -> ConnectionInfoTemplate:
        template = ConnectionInfoTemplate(self["connection-info"])
        checkedBy("connection-info", template.check)
        return template

    def _apiRate(self, target: AWSTarget | EmbeddedTarget | LocalTarget) -> TokenBucket | None:
        if self["api-rate"] is None:
            return API_RATE if isinstance(target, AWSTarget) else None
        return rate(self, "api-rate")

    def _stateDir(self) -> str | None:
        value: str | None = self["state-dir"]
        if value is not None and not value.strip():
            raise invalid("state-dir", value, "a directory that this user can write to")
        if value is not None:
            # A path is decoded as the file system's, not as UTF-8: with LC_ALL=C these differ.
            return os.fsdecode(value.encode())
        # If a unit has several state directories, systemd separates them with colons.
        return self._environ.get("STATE_DIRECTORY", "").partition(":")[0] or None

    def _gameServerData(self) -> str | None:
        data: str | None = self["game-server-data"]
        if data is not None:
            try:
                checkData(data)
            except ValueError as error:
                sentence = str(error).replace("GameServerData", "--game-server-data", 1)
                raise usage.UsageError(f"{sentence} Shorten it, or leave it out.") from error
        return data


class FactoryOptions(GameServerOptions):
    """The options of a command whose game is named on the command line."""

    optParameters: list[Sequence[Any]] = [  # noqa: RUF012 # usage.Options reads it from the class
        ["factory", None, None, "MODULE.CALLABLE that makes the protocol factory. Required."]
    ]


def optionsFor(
    command: str,
    factory: str | None,
    description: str,
    gameOptions: type[usage.Options] | None = None,
    sessionPolicy: str = "players",
) -> type[GameServerOptions]:
    """
    Return the options class of a game's twistd command.

    It has the options of every game and those of C{gameOptions}, in one mapping. The game's
    C{postOptions} is called last, when L{GameServerOptions.settings} is set. Its UsageError ends
    the process with a sentence.

    @param command: the name of the twistd command.
    @param factory: see L{GameServerOptions.factory}. None adds the option C{--factory}.
    @param description: what C{--help} shows first.
    @param gameOptions: the game's own options; None if it has none.
    @param sessionPolicy: the default of C{--session-policy}.
    @raise TypeError: with a sentence, if two options have the same name, or if the game takes
        arguments that are not options.
    """
    members: dict[str, Any] = {
        "command": command,
        "factory": factory,
        "longdesc": f"{description} {GameServerOptions.longdesc}",
        "sessionPolicy": sessionPolicy,
    }
    bases: tuple[type[GameServerOptions], ...] = (
        FactoryOptions if factory is None else GameServerOptions,
    )
    if gameOptions is None:
        return type("Options", bases, members)
    if duplicates := sorted(_optionNames(bases[0]) & _optionNames(gameOptions)):
        raise TypeError(
            f"{gameOptions.__qualname__} has the option --{duplicates[0]}, which the command"
            f" {command} has already: rename it."
        )
    if gameOptions.parseArgs is not usage.Options.parseArgs:
        raise TypeError(
            f"{gameOptions.__qualname__} has a parseArgs method, but a game's command takes options"
            " only: define options instead."
        )
    return type("Options", (*bases, gameOptions), members)


def _optionNames(options: type[usage.Options]) -> set[str]:
    parameters: list[Sequence[Any]] = []
    for attribute in ("optParameters", "optFlags"):
        accumulateClassList(options, attribute, parameters)
    methods = {*prefixedMethodNames(options, "opt_")} - {
        *prefixedMethodNames(usage.Options, "opt_")
    }
    return {each[0] for each in parameters} | {name.replace("_", "-") for name in methods}
