"""Pure: expire claims after 60 s, and drop game servers without health reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from heapq import heappop, heappush

from echoserver.local.model.gameserverindex import GameServerIndex
from echoserver.local.model.settings import Settings
from echoserver.local.model.values import GameServer

CLAIM_SECONDS = 60.0


class GameServerExpiry:
    """Ends the claims, and drops the game servers, whose deadlines have passed."""

    def __init__(
        self,
        index: GameServerIndex,
        healthTimeout: float,
        settings: Settings,
        report: Callable[[GameServer, float, str, str], None],
        drop: Callable[[GameServer, str, float], None],
    ) -> None:
        """
        @param healthTimeout: seconds without a health report after which a game server is dropped.
        @param report: reports an event of a game server: its time, name and sentence.
        @param drop: drops a game server, for this reason, at this time.
        """
        self._index = index
        self._healthTimeout = healthTimeout
        self._settings = settings
        self._report = report
        self._drop = drop
        # Deadlines with serials. A later change can make an entry obsolete, so expire checks it.
        self._claimDeadlines: list[tuple[float, int]] = []
        self._healthDeadlines: list[tuple[float, int]] = []

    def addClaim(self, server: GameServer) -> None:
        """Add the deadline of a new claim."""
        heappush(self._claimDeadlines, (_claimDeadlineOf(server), server.serial))

    def addHealth(self, server: GameServer) -> None:
        """Add the deadline of a new game server. Later health reports postpone it."""
        deadline = server.lastHealthCheckTime + self._healthTimeout
        heappush(self._healthDeadlines, (deadline, server.serial))

    def nextDeadline(self) -> float | None:
        """Return the earliest time at which something can expire; C{None} if nothing can."""
        heads = [heap[0][0] for heap in (self._claimDeadlines, self._healthDeadlines) if heap]
        return min(heads, default=None)

    def expire(self, now: float) -> None:
        """End the claims, and drop the game servers, that are due."""
        while self._claimDeadlines and self._claimDeadlines[0][0] <= now:
            server = self._index.get(heappop(self._claimDeadlines)[1])
            # If this claim ended early, the game server may have a later one.
            if server is not None and server.claimed and _claimDeadlineOf(server) <= now:
                self._endClaim(server, now)
        while self._healthDeadlines and self._healthDeadlines[0][0] < now:
            server = self._index.get(heappop(self._healthDeadlines)[1])
            if server is not None:
                self._checkHealth(server, now)

    def _endClaim(self, server: GameServer, now: float) -> None:
        revert = self._settings.claimData == "revert"
        data = server.dataBeforeClaim if revert else server.gameServerData
        self._index.replace(server, replace(server, claimed=False, gameServerData=data))
        self._report(
            server,
            now,
            "claim-expired",
            f"claim expired: not UTILIZED within {CLAIM_SECONDS:.0f} s, free again",
        )

    def _checkHealth(self, server: GameServer, now: float) -> None:
        if server.lastHealthCheckTime + self._healthTimeout >= now:
            self.addHealth(server)
            return
        silence = now - server.lastHealthCheckTime
        self._drop(server, f"last health report {silence:.0f} s ago", now)


def _claimDeadlineOf(server: GameServer) -> float:
    """Return when the last claim of this game server expires."""
    return (server.lastClaimTime or 0.0) + CLAIM_SECONDS
