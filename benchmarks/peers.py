"""
The echo servers ours is measured beside, each as its makers show it: C{python -m benchmarks.peers
NAME}. It prints the port it listens on.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

# As long as ours: with Twisted's 50 or asyncio's 100 a crowd would wait for what is not measured.
BACKLOG = 4096


def _listening(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def twistedEcho(backlog: int = BACKLOG) -> None:
    """Stock Twisted: its own Echo, on the reactor of this platform."""
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory
    from twisted.protocols.wire import Echo

    chosen: Any = reactor
    port = chosen.listenTCP(0, Factory.forProtocol(Echo), backlog, "127.0.0.1")
    _listening(port.getHost().port)
    chosen.run()


def twistedOnOurs() -> None:
    """Stock Twisted's Echo on the reactor of this project."""
    from echoserver.uvreactor import install

    install()
    twistedEcho()


def twistedOverUvloop() -> None:
    """Stock Twisted on its asyncio reactor, over a uvloop loop."""
    import uvloop
    from twisted.internet import asyncioreactor

    asyncioreactor.install(uvloop.new_event_loop())
    twistedEcho()


class EchoProtocol(asyncio.Protocol):
    """Bytes come back."""

    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def serveProtocols() -> None:
    """asyncio's lower layer: a Protocol a connection."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(EchoProtocol, "127.0.0.1", 0, backlog=BACKLOG)
    _listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def serveStreams() -> None:
    """asyncio's upper layer: a coroutine a connection."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=BACKLOG)
    _listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def onUvloop() -> None:
    """Raw uvloop: an asyncio Protocol on its transports."""
    import uvloop

    uvloop.run(serveProtocols())


PEERS: dict[str, Callable[[], None]] = {
    "twisted": twistedEcho,
    "twisted-short-queue": lambda: twistedEcho(50),
    "twisted-our-reactor": twistedOnOurs,
    "twisted-over-uvloop": twistedOverUvloop,
    "asyncio-protocols": lambda: asyncio.run(serveProtocols()),
    "asyncio-streams": lambda: asyncio.run(serveStreams()),
    "uvloop": onUvloop,
}

if __name__ == "__main__":
    PEERS[sys.argv[1]]()
