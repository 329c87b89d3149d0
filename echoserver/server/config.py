"""What the command line has asked for, checked: the settings of a process and of its servers."""

from __future__ import annotations

from dataclasses import dataclass

from echoserver.ec2.identity import ConnectionInfoTemplate
from echoserver.ec2.interruption import InterruptionConfig
from echoserver.ratelimit import TokenBucket
from echoserver.server.discovery import AWSTarget, EmbeddedTarget, LocalTarget


@dataclass(frozen=True, slots=True)
class GameServerConfig:
    """
    How a game server behaves. Durations are seconds.

    @ivar heartbeat: time without a health report after which a heartbeat is sent.
    @ivar grace: how long a running session may go on when the server is told to stop.
    @ivar maxPlayers: None is no limit.
    @ivar maxPerAddress: players from one address; None is no limit.
    @ivar acceptRate: connections a second, and at once; None is no limit.
    @ivar claimedOnly: whether the first player of a session is admitted only while ClaimStatus is
        CLAIMED.
    @ivar oneSession: whether to shut down after the first session.
    @ivar sessionPolicy: when a session runs: C{players}, from the first player to the last;
        C{manual}, as the game says; C{claim}, from a claim to the last player.
    @ivar claimTimeout: with C{claim}, how long a session waits for its first player.
    @ivar idleTimeout: time without data after which a player is disconnected; 0 for never.
    """

    heartbeat: float = 60.0
    grace: float = 20.0
    maxPlayers: int | None = None
    maxPerAddress: int | None = None
    acceptRate: TokenBucket | None = None
    claimedOnly: bool = False
    oneSession: bool = False
    sessionPolicy: str = "players"
    claimTimeout: float = 60.0
    idleTimeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The settings of one process.

    @ivar target: the FleetIQ to call.
    @ivar listen: an endpoint description for each game server.
    @ivar apiRate: calls to FleetIQ a second, and at once; None is no limit.
    @ivar status: the endpoint description of the status port; None for none.
    @ivar foreground: whether twistd stays in the foreground, with C{-n}.
    """

    target: AWSTarget | EmbeddedTarget | LocalTarget
    listen: tuple[str, ...]
    connectionInfo: ConnectionInfoTemplate
    gameServer: GameServerConfig
    interruption: InterruptionConfig
    apiRate: TokenBucket | None
    stateDir: str | None
    status: str | None
    gameServerId: str | None
    gameServerData: str | None
    foreground: bool
