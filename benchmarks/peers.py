"""
The echo servers for the comparison with fleetiq-echo, as in the documentation of each library.

C{python -m benchmarks.peers NAME} starts one, and prints its port.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

# As in fleetiq-echo. The defaults, 50 in Twisted and 100 in asyncio, are too short for a crowd.
BACKLOG = 4096


def _listening(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def twistedEcho(backlog: int = BACKLOG) -> None:
    """Serve Twisted's Echo on Twisted's default reactor, on any port or on that of the command."""
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory
    from twisted.protocols.wire import Echo

    chosen: Any = reactor
    number = int(sys.argv[2]) if sys.argv[2:] else 0
    port = chosen.listenTCP(number, Factory.forProtocol(Echo), backlog, "127.0.0.1")
    _listening(port.getHost().port)
    chosen.run()


def makeFactory(_gameServer: object) -> Any:
    """Make a factory of Twisted's Echo, for C{twistd fleetiq-game}."""
    from twisted.internet.protocol import Factory
    from twisted.protocols.wire import Echo

    return Factory.forProtocol(Echo)


def twistedOnUvloopReactor() -> None:
    """Serve Twisted's Echo on the uvloop reactor of this project."""
    from echoserver.uvreactor import install

    install()
    twistedEcho()


def twistedOverUvloop() -> None:
    """Serve Twisted's Echo on Twisted's asyncio reactor, with a uvloop loop."""
    import uvloop
    from twisted.internet import asyncioreactor

    asyncioreactor.install(uvloop.new_event_loop())
    twistedEcho()


class EchoProtocol(asyncio.Protocol):
    """Echo received data."""

    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def serveProtocols() -> None:
    """Serve with asyncio's protocols."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(EchoProtocol, "127.0.0.1", 0, backlog=BACKLOG)
    _listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def serveStreams() -> None:
    """Serve with asyncio's streams."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=BACKLOG)
    _listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def onUvloop() -> None:
    """Serve with asyncio's protocols on uvloop."""
    import uvloop

    uvloop.run(serveProtocols())


PEERS: dict[str, Callable[[], None]] = {
    "twisted": twistedEcho,
    "twisted-short-queue": lambda: twistedEcho(50),
    "twisted-uvloop-reactor": twistedOnUvloopReactor,
    "twisted-over-uvloop": twistedOverUvloop,
    "asyncio-protocols": lambda: asyncio.run(serveProtocols()),
    "asyncio-streams": lambda: asyncio.run(serveStreams()),
    "uvloop": onUvloop,
}

if __name__ == "__main__":
    PEERS[sys.argv[1]]()
