"""An echo server that speaks to fleetiq-wrap. Run: echo_server.py PORT."""

import json
import os
import socket
import socketserver
import sys
import threading


def listen(wrap: socket.socket) -> None:
    for line in wrap.makefile():
        event = json.loads(line)
        sys.stdout.write(f"event: {event}\n")
        sys.stdout.flush()
        if event["event"] == "stop":
            os._exit(0)


class Player(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


server = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Player)
server.daemon_threads = True
if path := os.environ.get("FLEETIQ_SOCKET"):
    wrap = socket.socket(socket.AF_UNIX)
    wrap.connect(path)
    wrap.sendall(b'{"event": "ready"}\n')
    threading.Thread(target=listen, args=(wrap,), daemon=True).start()
server.serve_forever()
