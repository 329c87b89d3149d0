"""Tests of L{echoserver.game.forwarding}."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer

from echoserver.game.forwarding import forwardingClass


class ISized(Interface):
    """A transport with a size."""


@implementer(ISized)
class SizedTransport(StringTransport):
    """A transport with a size, and with a method of TLS transports."""

    size = 1

    def startTLS(self, contextFactory: object) -> object:
        self.size = 2
        return contextFactory


class Forwarding:
    """A class that forwards to its transport."""

    __slots__ = ("_transport", "changes")

    def __init__(self, transport: object) -> None:
        self._transport = transport
        self.changes = 0
        self.__class__ = forwardingClass(Forwarding, transport)

    def write(self, data: bytes) -> bytes:
        return data

    def transportChanged(self) -> None:
        self.changes += 1


class ForwardingTests(SynchronousTestCase):
    """Subclasses with the interfaces and attributes of a transport."""

    def test_attributes(self) -> None:
        """An attribute is read from the transport each time. Own attributes have precedence."""
        transport = SizedTransport()
        seen: Any = Forwarding(transport)
        self.assertEqual(1, seen.size)
        transport.size = 7
        self.assertEqual(7, seen.size)
        self.assertEqual(b"data", seen.write(b"data"))
        self.assertEqual(b"", transport.value())
        self.assertRaises(AttributeError, getattr, seen, "missing")

    def test_transportChanged(self) -> None:
        """A method that may change how the transport writes is called, and then this is known."""
        seen: Any = Forwarding(SizedTransport())
        self.assertEqual("context", seen.startTLS("context"))
        self.assertEqual((2, 1), (seen.size, seen.changes))
        self.assertFalse(hasattr(Forwarding(StringTransport()), "startTLS"))

    def test_interfaces(self) -> None:
        """The subclass provides what the transport provides."""
        self.assertTrue(ISized.providedBy(Forwarding(SizedTransport())))
        plain = Forwarding(StringTransport())
        self.assertTrue(ITransport.providedBy(plain))
        self.assertFalse(ISized.providedBy(plain))

    def test_oneClass(self) -> None:
        """All instances with the same kind of transport have one class."""
        first, second = Forwarding(SizedTransport()), Forwarding(SizedTransport())
        self.assertIs(type(first), type(second))

    def test_wrapped(self) -> None:
        """The attributes of a transport inside a wrapper are forwarded, too."""
        wrapper: Any = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        wrapper.transport = SizedTransport()
        seen: Any = Forwarding(wrapper)
        self.assertEqual(1, seen.size)
