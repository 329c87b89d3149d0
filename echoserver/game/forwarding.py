"""Make subclasses that forward the attributes of a transport."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer, providedBy

# Methods of a transport after which it may write in another way: over TLS, for instance.
_CHANGE_WRITE = {"startTLS", "loseWriteConnection"}
_classes: dict[tuple[object, ...], type] = {}


def forwardingClass(base: type, transport: Any) -> type:
    """
    Return a subclass of C{base} with the interfaces and the attributes of a transport.

    It reads the attributes of C{transport} from the attribute C{_transport} of C{base}, each time.
    Attributes of C{base} have precedence. The subclass adds no state, so that C{__class__} of an
    instance of C{base} can be set to it.

    C{__getattr__} would need less code. But CPython does not specialize the attributes of a class
    that has it: with the four attributes that an echo reads, the game layer took 0.31 us an echo,
    and takes 0.14 us without.

    @param base: a class with the slot C{_transport}. Its method C{transportChanged} is called after
        a method that may change how the transport writes.
    """
    provided = providedBy(transport)
    key = (base, provided, *map(type, _layers(transport)))
    if key not in _classes:
        every = {name for layer in _layers(transport) for name in dir(layer)}
        names = {name for name in every.difference(dir(base)) if not name.startswith("__")}
        forwarded: dict[str, Any] = {
            name: property(attrgetter(f"_transport.{name}")) for name in names
        }
        for name in names & _CHANGE_WRITE:
            forwarded[name] = _thenChanged(name)
        forwarded |= {"__slots__": (), "__doc__": base.__doc__}
        _classes[key] = implementer(provided)(type(base.__name__, (base,), forwarded))
    return _classes[key]


def _thenChanged(name: str) -> Callable[..., Any]:
    def call(connection: Any, *args: Any, **kw: Any) -> Any:
        result = getattr(connection._transport, name)(*args, **kw)
        connection.transportChanged()
        return result

    return call


def _layers(transport: Any) -> Iterator[Any]:
    """
    Yield a transport, and the transports that it wraps. A wrapper forwards attributes with
    C{__getattr__}, and C{dir} does not list those.
    """
    yield transport
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
        yield transport
