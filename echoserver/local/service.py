"""The local FleetIQ as a service: the model and its HTTP server on one port."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.address import IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from echoserver.local.clock import ExpiryTimer, LocalClock
from echoserver.local.http.api import FleetIQEndpoint
from echoserver.local.http.controls import (
    ClockControl,
    Controls,
    FaultsControl,
    InterruptControl,
    ResetControl,
    StateControl,
)
from echoserver.local.http.events import EventsControl, JournalControl
from echoserver.local.http.imds import Access, InstanceMetadata, Instances, Tokens, addMetadata
from echoserver.local.http.live import LiveControl, Players
from echoserver.local.http.metadatacontrol import MetadataControl
from echoserver.local.http.operations import Operations
from echoserver.local.http.play import PlayControl
from echoserver.local.http.readcontrols import GroupsControl, MetricsControl
from echoserver.local.http.site import MAX_CONNECTIONS, LocalSite
from echoserver.local.model.cloudwatch import CloudWatch
from echoserver.local.model.faults import Faults
from echoserver.local.model.fleet import Fleet
from echoserver.local.model.journal import Journal
from echoserver.local.model.metadatavalues import MetadataValues
from echoserver.local.model.quotas import Quotas
from echoserver.local.model.settings import DEFAULTS, Settings
from echoserver.local.model.values import Event, Instance

if TYPE_CHECKING:
    from echoserver.local.model.autoscaling import AutoScaling

_log = Logger(namespace="fleetiq.local")

DEFAULT_LISTEN = "tcp:4570:interface=127.0.0.1"
_UNESCAPED_ADDRESS = re.compile(r"interface=[0-9a-fA-F]*:[0-9a-fA-F]*:")
_LISTEN = re.compile(r"tcp6?:(?:port=)?([0-9]{1,5})(?::|$)")


class LocalFleetIQ(Service):
    """
    A local FleetIQ on one port: the API, the instance metadata and the controls. It has its own
    clock.

    @ivar url: its URL on this machine; empty before it is started.
    @ivar onReset: called after a reset.
    """

    def __init__(
        self,
        reactor: Any,
        listen: str = DEFAULT_LISTEN,
        groups: Sequence[str] = ("local",),
        instances: int = 2,
        healthTimeout: float = 180.0,
        seed: int | None = None,
        timeScale: float = 1.0,
        imds: str = "both",
        settings: Settings = DEFAULTS,
        quotas: bool = False,
        maxConnections: int = MAX_CONNECTIONS,
        metadata: Mapping[str, str] | None = None,
        userData: bytes | None = None,
        autoscale: bool = False,
    ) -> None:
        """
        @param listen: an endpoint description of the kind C{tcp:} or C{tcp6:}.
        @param groups: the names of the groups that exist at the start.
        @param instances: the number of instances of each of these groups.
        @param healthTimeout: seconds without a health report after which a game server is dropped.
        @param seed: makes ids, and the calls that faults apply to, the same in each run.
        @param timeScale: seconds of the local clock per real second.
        @param imds: the versions of the metadata service: C{"v1"}, C{"v2"} or C{"both"}.
        @param quotas: whether AWS's default quotas and rates apply.
        @param maxConnections: connections at most; beyond them idle ones are closed.
        @param metadata: values that replace those of all instances, by path below C{meta-data/}.
        @param userData: the user data of all instances; C{None} if they have none.
        @param autoscale: whether the groups have Auto Scaling.
        @raise ValueError: with a sentence, if C{listen}, C{timeScale} or C{imds} is wrong.
        """
        self._listen = listen
        self._groups, self._instances = groups, instances
        self._endpoint = _parseEndpoint(reactor, listen)
        self._port: IListeningPort | None = None
        self.url = ""
        self.onReset: Callable[[], object] = lambda: None
        rng = Random(seed)
        self._clock = clock = LocalClock(reactor, timeScale)
        seconds = clock.seconds
        self._journal = Journal()
        self._fleet = fleet = Fleet(self._addEvent, healthTimeout, settings)
        self._scaling = _makeScaling(fleet, self._addEvent, settings) if autoscale else None
        self._populate()
        self._timer = ExpiryTimer(clock, self._scaling or fleet)
        self._quotas = Quotas(settings.throttling) if quotas else None
        operations = Operations(fleet, seconds, self._quotas)
        self._faults = faults = Faults(operations.names, Random(seed), settings.throttling)
        self._api = FleetIQEndpoint(
            reactor, operations, faults, self._journal, rng, self._timer.schedule, seconds
        )
        self._tokens = Tokens(rng)
        self._metadata = MetadataValues(metadata, userData)
        access = Access(self._tokens, self._metadata, seconds, imds)
        controls = Controls()
        controls.putChild(b"state", StateControl(fleet, faults, self._api, clock))
        self._clockControl = ClockControl(clock, fleet, self._timer.clockMoved, self._report)
        controls.putChild(b"clock", self._clockControl)
        controls.putChild(b"faults", FaultsControl(faults, self._report))
        controls.putChild(b"journal", JournalControl(self._journal))
        self._events = EventsControl(self._journal, reactor)
        controls.putChild(b"events", self._events)
        self._cloudWatch = CloudWatch(fleet)
        controls.putChild(b"metrics", MetricsControl(self._cloudWatch, seconds))
        controls.putChild(
            b"interrupt",
            InterruptControl(fleet, seconds, self._timer.schedule, self._cloudWatch.interrupted),
        )
        controls.putChild(
            b"metadata", MetadataControl(fleet, self._metadata, seconds, self._report)
        )
        controls.putChild(b"groups", GroupsControl(fleet, seconds))
        self._live = LiveControl(self._journal, reactor, fleet, faults, clock)
        controls.putChild(b"live", self._live)
        controls.putChild(b"play", PlayControl(reactor, fleet, seconds))
        controls.putChild(b"reset", ResetControl(self.reset))
        self._api.putChild(b"_local", controls)
        self._api.putChild(b"instances", Instances(fleet, access))

        def first(now: float) -> Instance | None:
            return fleet.groups(now).firstInstance()

        addMetadata(self._api, first, access)
        self._api.metadataVersions = InstanceMetadata(first, access, None)
        self._site = LocalSite(self._api, reactor, seconds, maxConnections)

    def startService(self) -> None:
        """
        Bind the port.

        @raise CannotListenError: if it cannot be bound. Then the service is not running.
        """
        outcome: list[Any] = []
        self._endpoint.listen(self._site).addBoth(outcome.append)
        [port] = outcome
        if isinstance(port, Failure):
            port.raiseException()
        self._port = port
        self.url = _urlOf(port)
        if self._scaling is not None:
            self._timer.schedule()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """
        Close the port and the connections. Calls that a fault delays are canceled.

        @return: fires when all are closed.
        """
        super().stopService()
        self._api.stop()
        self._events.stop()
        self._live.stop()
        self._timer.stop()
        port, self._port = self._port, None
        closed = maybeDeferred(port.stopListening) if port is not None else maybeDeferred(int)
        return closed.addCallback(lambda _: self._site.endConnections())

    def showPlayers(self, players: Players) -> None:
        """
        Show the number of players of some game servers on the page.

        @param players: returns the numbers by game server id. It is called once a second while a
            page is open.
        """
        self._live.players = players

    def reset(self) -> None:
        """
        Restore the state at the start: groups, instances, clock, faults, calls and quotas. Calls
        that a fault delays are canceled. All metadata tokens become invalid, because the clock may
        go back.
        """
        self._api.stop()
        self._api.calls.clear()
        self._faults.reset()
        if self._quotas is not None:
            self._quotas.reset()
        self._tokens.endAll()
        self._metadata.reset()
        self._cloudWatch.reset()
        self._journal.clear()
        self._clock.reset()
        self._clockControl.forget()
        self._fleet.clear()
        self._populate()
        self._timer.clockMoved()
        self._report("reset", "reset: all is as at the start")
        self.onReset()

    def _populate(self) -> None:
        now = self._clock.seconds()
        for name in self._groups:
            self._fleet.addGroup(name, self._instances, now)
        if self._scaling is not None:
            self._scaling.reset(now)

    def _report(self, event: str, sentence: str, isWarning: bool = False, /) -> None:
        now = self._clock.seconds()
        self._addEvent(Event(now, event, None, None, None, sentence), isWarning)

    def _addEvent(self, event: Event, isWarning: bool = False) -> None:
        self._journal.addEvent(event)
        subject = event.gameServerId or event.instanceId or event.groupName
        _log.emit(
            LogLevel.warn if isWarning else LogLevel.info,
            "{subject} {sentence}" if subject else "{sentence}",
            subject=subject,
            sentence=event.sentence,
            gameServerId=event.gameServerId,
            eventName=f"local.{event.event}",
        )


def _makeScaling(fleet: Fleet, onEvent: Callable[[Event], None], settings: Settings) -> AutoScaling:
    # Imported here, so that it costs nothing without Auto Scaling.
    from echoserver.local.model.autoscaling import AutoScaling

    return AutoScaling(fleet, onEvent, settings)


def _parseEndpoint(reactor: Any, listen: str) -> Any:
    wrong = ValueError(
        f"{listen!r}: it must be an endpoint description such as {DEFAULT_LISTEN}, "
        "of the kind tcp: or tcp6:, with a port from 0 to 65535."
    )
    port = _LISTEN.match(listen)
    if port is None or int(port[1]) > 65535:
        raise wrong
    try:
        return serverFromString(reactor, listen)
    except (IndexError, TypeError, ValueError) as error:
        if _UNESCAPED_ADDRESS.search(listen):
            raise ValueError(
                f"{listen!r}: the colons of an address need a backslash each, as in "
                r"'tcp6:4570:interface=\:\:1', in quotes for the shell."
            ) from error
        raise wrong from error


def _urlOf(port: IListeningPort) -> str:
    address: Any = port.getHost()
    if isinstance(address, IPv6Address):
        return f"http://[{'::1' if address.host == '::' else address.host}]:{address.port}"
    return f"http://{'127.0.0.1' if address.host == '0.0.0.0' else address.host}:{address.port}"
