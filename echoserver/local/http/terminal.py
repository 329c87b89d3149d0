"""The WebSocket between the page and the port of a game server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.websocket import WebSocketResource, WebSocketTransport

from echoserver.local.http.site import LocalRequest
from echoserver.local.model.values import FleetIQError
from echoserver.webaccess import PLAIN_TEXT

Connect = Callable[[Protocol], Deferred[Any]]


class Terminals:
    """The factory that Twisted's resource needs: makes the terminal of one request."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def buildProtocol(self, request: Request) -> _Browser:
        return _Browser(self._connect, request)


class Terminal(WebSocketResource):
    """One terminal. A request that is no WebSocket handshake is rejected."""

    isLeaf = True

    def render_GET(self, request: LocalRequest) -> int:  # type: ignore[override] # it writes bytes itself
        if (request.header("upgrade") or "").lower() != "websocket":
            sentence = b"This path is a WebSocket.\n"
            request.respond(426, (*PLAIN_TEXT, (b"Upgrade", b"websocket")), sentence)
            return NOT_DONE_YET
        refusal = super().render_GET(request)
        if isinstance(refusal, bytes):
            request.respond(400, PLAIN_TEXT, refusal + b"\n")
        return NOT_DONE_YET


class _Browser:
    """
    The WebSocket. Binary messages carry what the game sends; text messages to the page are objects
    with an C{event}. Text messages from the page go to the game.
    """

    def __init__(self, connect: Connect, request: Request) -> None:
        self._connect = connect
        self._channel: Any = request.channel
        self._game = _Game(self)
        self._transport: Any = None
        self._closed = False

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self._transport = transport

    def negotiationFinished(self) -> None:
        connecting = Deferred.fromCoroutine(self._start())
        connecting.addErrback(self._failed)

    async def _start(self) -> None:
        await self._connect(self._game)
        if self._closed:
            self._game.transport.loseConnection()
            return
        # The channel was the producer of its transport, for the responses that now no longer come.
        self._channel.transport.unregisterProducer()
        self._transport.attachProducer(self._game.transport)
        self._game.transport.registerProducer(self._channel.transport, True)
        self._sendEvent("connected", None)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        sentence = error.message if isinstance(error, FleetIQError) else str(error)
        self.end("failed", sentence)

    def end(self, event: str, sentence: str | None) -> None:
        """Send a last event, and close the WebSocket."""
        if not self._closed:
            self._sendEvent(event, sentence)
            self._channel.transport.unregisterProducer()
            self._transport.loseConnection()

    def _sendEvent(self, event: str, sentence: str | None) -> None:
        self._transport.sendTextMessage(json.dumps({"event": event, "sentence": sentence}))

    def gameSent(self, data: bytes) -> None:
        """Pass bytes of the game on to the page."""
        if not self._closed:
            self._transport.sendBytesMessage(data)

    def textMessageReceived(self, message: str) -> None:
        self._game.send(message.encode())

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self._game.send(bytes(data))

    def pongReceived(self, payload: bytes) -> None:
        """Ignore it: no ping is sent."""

    def connectionLost(self, reason: Failure) -> None:
        self._closed = True
        # Twisted has replaced the channel's own connectionLost.
        self._channel.site.connectionEnded(self._channel)
        self._game.close()


class _Game(Protocol):
    """The connection to the game server."""

    transport: Any = None

    def __init__(self, browser: _Browser) -> None:
        self._browser = browser
        self._closed = False

    def send(self, data: bytes) -> None:
        if self.transport is not None and not self._closed:
            self.transport.write(data)

    def close(self) -> None:
        if self.transport is not None and not self._closed:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self._browser.gameSent(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closed = True
        self._browser.end("closed", None)
