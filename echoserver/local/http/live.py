"""The stream of the page, GET /_local/live: first the whole state, then what changes in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from echoserver.local.clock import LocalClock
from echoserver.local.http.events import EventStream, formatMessage
from echoserver.local.http.responses import (
    serializeGameServer,
    serializeGroup,
    serializeInstance,
)
from echoserver.local.model.expiry import CLAIM_SECONDS
from echoserver.local.model.faults import Faults
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.groups import Groups
from echoserver.local.model.journal import Call, Entry, Journal, formatEntry
from echoserver.local.model.values import FleetIQError, GameServer, Instance

# Real seconds over which changes are collected into one message.
BATCH_SECONDS = 0.1
# Real seconds between two looks at the players of the game servers in this process.
PLAYERS_SECONDS = 1.0

Players = Callable[[], Mapping[str, int]]


class LiveControl(EventStream):
    """
    C{GET /_local/live}: a stream for the page. Each message is an object. The first has C{"full":
    true} and everything that exists; the next ones have the new entries of the journal and the
    current form of the game servers that they name. While the stream has a reader, the journal
    keeps the input and output of calls.

    @ivar players: returns the number of players by game server id, of the game servers of which it
        is known.
    """

    maxBehind = 300

    def __init__(
        self,
        journal: Journal,
        reactor: IReactorTime,
        state: Fleet,
        faults: Faults,
        clock: LocalClock,
    ) -> None:
        """
        @param reactor: real time.
        """
        super().__init__(journal, reactor)
        self.players: Players = dict
        self._state = state
        self._faults = faults
        self._localClock = clock
        self._batch: IDelayedCall | None = None
        self._look: IDelayedCall | None = None
        self._entries: list[Entry] = []
        self._isFull = False
        self._instancesChanged = False
        self._sentInstances = 0
        self._sentPlayers: dict[str, int] = {}

    def firstReaderConnected(self) -> None:
        self._journal.keepsDetails = True
        self._look = self._clock.callLater(PLAYERS_SECONDS, self._lookAtPlayers)

    def lastReaderDisconnected(self) -> None:
        self._journal.keepsDetails = False
        for timer in (self._batch, self._look):
            if timer is not None:
                timer.cancel()
        self._batch = self._look = None
        self._entries = []

    def firstMessages(self) -> list[bytes]:
        # What has happened before belongs to the readers that are connected already.
        if self._batch is not None:
            self._batch.cancel()
            self._sendBatch()
        message = formatMessage(self._everything())
        return [b"retry: 1000\n\n", message]

    def entryAdded(self, entry: Entry) -> None:
        self._entries.append(entry)
        if not isinstance(entry, Call):
            self._isFull = self._isFull or entry.event == "reset"
            self._instancesChanged = self._instancesChanged or entry.gameServerId is None
        self._sendSoon()

    def _sendSoon(self) -> None:
        if self._batch is None:
            self._batch = self._clock.callLater(BATCH_SECONDS, self._sendBatch)

    def _sendBatch(self) -> None:
        # Expiring what is due can add entries: they belong to this batch.
        now = self._localClock.seconds()
        groups = self._state.groups(now)
        self._batch = None
        entries, self._entries = self._entries, []
        if self._isFull:
            self.send(formatMessage(self._everything()))
            return
        changed = {
            (each.groupName, each.gameServerId): None
            for each in entries
            if each.groupName is not None and each.gameServerId is not None
        }
        content = self._moment(now)
        content["entries"] = [_formatEntry(each) for each in entries]
        content["gameServers"] = [
            self._serializeGameServer(server)
            for name, gameServerId in changed
            if (server := self._gameServer(name, gameServerId, now)) is not None
        ]
        if self._instancesChanged or len(groups.instances) != self._sentInstances:
            self._addInstances(content, groups)
        self.send(formatMessage(content))

    def _everything(self) -> dict[str, Any]:
        now = self._localClock.seconds()
        groups = self._state.groups(now)
        servers = self._state.allGameServers(now)
        content = {
            **self._moment(now),
            "full": True,
            "healthTimeout": self._state.healthTimeout,
            "claimSeconds": CLAIM_SECONDS,
            "gameServers": [self._serializeGameServer(each) for each in servers],
            "entries": [_formatEntry(each) for each in self._journal.entries()],
            "forgotten": self._journal.discarded,
        }
        self._isFull = False
        self._addInstances(content, groups)
        return content

    def _moment(self, now: float) -> dict[str, Any]:
        return {
            "now": round(now, 3),
            "timeScale": self._localClock.scale,
            "faults": [
                {"id": faultId, **asdict(fault)} for faultId, fault in self._faults.active()
            ],
            "players": self._sentPlayers,
        }

    def _addInstances(self, content: dict[str, Any], groups: Groups) -> None:
        self._instancesChanged = False
        self._sentInstances = len(groups.instances)
        content["groups"] = [serializeGroup(each) for each in groups.all()]
        content["instances"] = [
            _serializeInstance(each, groups) for each in groups.instances.values()
        ]

    def _serializeGameServer(self, server: GameServer) -> dict[str, Any]:
        return serializeGameServer(server, self._state.settings)

    def _gameServer(self, groupName: str, gameServerId: str, now: float) -> GameServer | None:
        try:
            return self._state.gameServer(groupName, gameServerId, now)
        except FleetIQError:
            return None

    def _lookAtPlayers(self) -> None:
        self._look = self._clock.callLater(PLAYERS_SECONDS, self._lookAtPlayers)
        players = dict(self.players())
        if players != self._sentPlayers:
            self._sentPlayers = players
            self._sendSoon()


def _serializeInstance(instance: Instance, groups: Groups) -> dict[str, Any]:
    """Return a GameServerInstance, with its type and its interruptions."""
    definitions = groups.group(instance.groupName).settings.instanceDefinitions
    return {
        **serializeInstance(instance),
        "InstanceType": definitions[0].instanceType if definitions else None,
        "interruptions": [asdict(each) for each in instance.interruptions],
    }


def _formatEntry(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Call):
        return {**formatEntry(entry), "input": entry.input, "output": entry.output}
    return formatEntry(entry)
