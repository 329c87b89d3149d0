"""When a game port accepts: not faster than it should, nor when descriptors run out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from zope.interface import implementer

from echoserver.bucket import Bucket
from echoserver.players.descriptors import Descriptors

# Twisted accepts as many in one go as it accepted last, and 20 more: 52 of the 64 in reserve.
IN_ONE_GO = 32


@implementer(IProtocolFactory, ILoggingContext)
class Gate:
    """
    A factory before the game's own, which has its port pause. Whoever comes meanwhile waits in the
    accept queue.

    @param rate: connections a second, a whole burst at once; as many as Twisted accepts in one go
        may come in on top of that. None is no limit.
    @param changed: called when L{open} has changed.
    """

    def __init__(
        self,
        clock: IReactorTime,
        factory: IProtocolFactory,
        rate: Bucket | None,
        descriptors: Descriptors,
        changed: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._factory = factory
        self._rate = rate
        self._descriptors = descriptors
        self._changed = changed
        self._port: Any = None
        self._pause: IDelayedCall | None = None
        descriptors.watch(self._descriptorsChanged)

    @property
    def open(self) -> bool:
        """Whether there are descriptors for players. A rate that is used up closes nothing."""
        return self._descriptors.enough

    def guard(self, port: IListeningPort) -> None:
        """Have this port pause."""
        # Not each kind of port can: then who comes is accepted all the same.
        if hasattr(port, "stopReading"):
            self._port = port
            self._turn()

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        if self._port is not None:
            self._port.numberAccepts = min(IN_ONE_GO, self._port.numberAccepts)
            self._spend()
            self._descriptors.accepted()
        return self._factory.buildProtocol(addr)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._port = None
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._factory.doStop()

    def logPrefix(self) -> str:
        return type(self._factory).__name__

    def _spend(self) -> None:
        if self._rate is None:
            return
        now = self._clock.seconds()
        self._rate = self._rate.taken(now)
        wait = self._rate.wait(now)
        if wait and self._pause is None:
            self._pause = self._clock.callLater(wait, self._resume)
            self._turn()

    def _resume(self) -> None:
        self._pause = None
        self._turn()

    def _descriptorsChanged(self) -> None:
        self._turn()
        self._changed()

    def _turn(self) -> None:
        if self._port is None:
            return
        if self._pause is None and self.open:
            self._port.numberAccepts = 1 if self._rate is not None else IN_ONE_GO
            self._port.startReading()
        else:
            self._port.stopReading()
