"""
An echo server that knows nothing of FleetIQ, for the tests of fleetiq-wrap.

With the argument C{speaking} it uses the socket of fleetiq-wrap. Some lines are commands.
"""

import json
import os
import signal
import socket
import socketserver
import sys
import threading

channel = None


def speak(event: str, **members: str) -> None:
    assert channel is not None
    channel.sendall(json.dumps({"event": event, **members}).encode() + b"\n")


def listen(speaking: socket.socket) -> None:
    for line in speaking.makefile():
        event = json.loads(line)
        sys.stdout.write(f"received {event}\n")
        sys.stdout.flush()
        if event["event"] == "stop":
            os._exit(0)


class Player(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            match data.split():
                case [b"exit", code]:
                    os._exit(int(code))
                case [b"end", b"session"]:
                    speak("sessionEnded")
                case [b"unhealthy"]:
                    speak("unhealthy", reason="no map")
                case [b"healthy"]:
                    speak("healthy")
                case _:
                    self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100


server = Server(("127.0.0.1", int(sys.argv[1])), Player)
if sys.argv[2:] == ["speaking"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(os.environ["FLEETIQ_SOCKET"])
    threading.Thread(target=listen, args=(channel,), daemon=True).start()
    speak("ready")
server.serve_forever()
