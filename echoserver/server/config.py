"""The settings of one process as values. L{echoserver.server.options} parses them."""

from __future__ import annotations

from dataclasses import dataclass

from echoserver.ec2.identity import ConnectionInfoTemplate
from echoserver.ec2.interruption import InterruptionConfig
from echoserver.ratelimit import TokenBucket
from echoserver.server.discovery import AWSTarget, EmbeddedTarget, LocalTarget


@dataclass(frozen=True, slots=True)
class GameServerConfig:
    """
    The settings of each game server. Durations are seconds.

    @ivar heartbeat: time after the last health report until a heartbeat is sent.
    @ivar grace: time that a running session has left when the server is stopped.
    @ivar maxPlayers: connected players at most; None for no limit.
    @ivar maxPerAddress: connected players from one address at most; None for no limit.
    @ivar acceptRate: rate and burst of accepted connections; None for no limit.
    @ivar claimedOnly: if True, the first player of a session is admitted only while the claim
        status is CLAIMED.
    @ivar oneSession: if True, shut down after the first session instead of registering again.
    @ivar sessionPolicy: what starts and ends a session: C{"players"}, the first player who joins
        and the last who leaves; C{"manual"}, calls of the game; C{"claim"}, a claim and the last
        player who leaves.
    @ivar claimTimeout: with the policy C{"claim"}: time from the claim until the session ends if no
        player has joined.
    @ivar handshakeTimeout: time that a TLS handshake or a PROXY header may take.
    @ivar logPlayers: the log of players that join and leave: C{"all"}, C{"summary"} or C{"none"}.
    @ivar idleTimeout: time without data after which a player is disconnected; 0 for no limit.
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
    handshakeTimeout: float = 10.0
    idleTimeout: float = 0.0
    logPlayers: str = "summary"


@dataclass(frozen=True, slots=True)
class Settings:
    """
    All settings of the process, checked.

    @ivar target: the FleetIQ to call.
    @ivar listen: one endpoint description for each game server.
    @ivar apiRate: rate and burst of the calls to FleetIQ; None for no limit.
    @ivar stateDir: the directory of the persisted ids; None to persist none.
    @ivar status: the endpoint description of the status port; None for no status port.
    @ivar gameServerId: a fixed game server id; None for random ids.
    @ivar foreground: if True, twistd runs in the foreground (C{-n}).
    @ivar pidFile: the path of its pid file; empty for none.
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
    pidFile: str = ""
