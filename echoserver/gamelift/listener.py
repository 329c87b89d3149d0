"""The listener of a registration, and the function that calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as TypingProtocol

from twisted.logger import Logger

_log = Logger(namespace="fleetiq.gamelift")


class RegistrationListener(TypingProtocol):
    """The listener of one registration. An exception that it raises is logged."""

    @property
    def registered(self) -> Callable[[], None]:
        """Called when FleetIQ has confirmed the first registration."""

    @property
    def refused(self) -> Callable[[str], bool]:
        """
        Called with a message if FleetIQ refuses permanently before the first registration. If it
        returns True, the registration ends; else the call is repeated.
        """

    @property
    def sessionConfirmed(self) -> Callable[[str], None]:
        """Called with the GameServerData of a claim when the session of this claim is UTILIZED."""

    @property
    def claimChanged(self) -> Callable[[bool, str], None]:
        """
        Called with True and the GameServerData when a reply shows a new claim, and with False when
        a reply shows that a claim has expired without a player.
        """


def notify(callback: Callable[..., object], *args: object) -> object:
    """Call a method of a listener, and return its result; None if it raises. This is logged."""
    try:
        return callback(*args)
    except Exception:  # noqa: BLE001 # the listener's error must not end the heartbeats
        _log.failure(
            "A listener of the registration failed.", eventName="registration.listenerFailed"
        )
        return None
