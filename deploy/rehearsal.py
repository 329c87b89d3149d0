"""
Rehearse a fleet with network namespaces: C{.venv/bin/python deploy/rehearsal.py}, as root on Linux.

Three namespaces are the instances, each with its address, its metadata URL and its game servers.
A fourth one has a local FleetIQ and the players, who claim, and send numbered lines. One instance
gets a Spot notice, then another is killed: the players claim again, and go on with the line that
has not come back. Without namespaces, it prints the reason, and exits with 0.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.request import Request, urlopen

import boto3
from botocore.config import Config

TWISTD = Path(sys.executable).parent / "twistd"
FLEETIQ = "http://10.77.0.1:4570"
ENVIRON = {
    "PATH": os.defpath,
    "AWS_ENDPOINT_URL_GAMELIFT": FLEETIQ,
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}
INSTANCES = 3
# More than there are players: so a killed instance leaves one that can still be claimed.
SERVERS = 5
PLAYERS = 4
# Seconds from the Spot notice to the end of the instance. The game servers close 5 s earlier.
NOTICE = 15
_ATTEMPTS = 600


def ip(*words: str, namespace: str | None = None) -> None:
    """Run iproute2, and raise C{CalledProcessError} with its output if it fails."""
    command = ["ip", *(() if namespace is None else ("-n", namespace)), *words]
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextmanager
def network(prefix: str) -> Iterator[None]:
    """Create namespaces PREFIX0 with a bridge, and PREFIX1 to PREFIX3 on this bridge."""
    names = [f"{prefix}{number}" for number in range(INSTANCES + 1)]
    made: list[str] = []
    try:
        for number, name in enumerate(names):
            ip("netns", "add", name)
            made.append(name)
            ip("link", "set", "lo", "up", namespace=name)
            if number == 0:
                ip("link", "add", "br0", "type", "bridge", namespace=name)
                ip("address", "add", "10.77.0.1/24", "dev", "br0", namespace=name)
                ip("link", "set", "br0", "up", namespace=name)
                continue
            peer = ("peer", "name", "eth0", "netns", name)
            ip("link", "add", f"v{number}", "type", "veth", *peer, namespace=names[0])
            ip("link", "set", f"v{number}", "master", "br0", "up", namespace=names[0])
            ip("address", "add", f"10.77.0.1{number}/24", "dev", "eth0", namespace=name)
            ip("link", "set", "eth0", "up", namespace=name)
        yield
    finally:
        for name in made:
            ip("netns", "delete", name)


def waitUntil(what: str, condition: Callable[[], bool]) -> None:
    """Check a condition every 0.1 s, for a minute."""
    for _ in range(_ATTEMPTS):
        if condition():
            return
        Event().wait(0.1)
    raise AssertionError(f"Not in time: {what}.")


def control(name: str, **body: Any) -> Any:
    """Get or change the state of a control of the local FleetIQ."""
    request = Request(f"{FLEETIQ}/_local/{name}", json.dumps(body).encode() if body else None)
    with urlopen(request, timeout=5) as response:
        return json.load(response)


def answers() -> bool:
    """Return whether the local FleetIQ responds."""
    try:
        control("state")
    except OSError:
        return False
    return True


class Player(Thread):
    """
    Claims a game server and sends numbered lines, until it is stopped; claims again if it is lost.

    @ivar instances: the instances of the game servers that it has played on.
    @ivar echoed: the numbers that came back.
    @ivar refused: claimed game servers that did not accept the connection.
    """

    def __init__(self, gameLift: Any) -> None:
        super().__init__(daemon=True)
        self.instances: list[str] = []
        self.echoed: list[int] = []
        self.refused = 0
        self.stopped = Event()
        self._gameLift = gameLift

    def hasPlayed(self, times: int) -> bool:
        """Return whether it has played on so many game servers."""
        return len(self.instances) >= times

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                reply = self._gameLift.claim_game_server(GameServerGroupName="local")
            except self._gameLift.exceptions.OutOfCapacityException:
                self.stopped.wait(0.1)
                continue
            server = reply["GameServer"]
            host, _, port = server["ConnectionInfo"].rpartition(":")
            try:
                connection = socket.create_connection((host, int(port)), timeout=5)
            except OSError:
                self.refused += 1
                continue
            with connection:
                self._play(connection, server["InstanceId"])

    def _play(self, connection: socket.socket, instanceId: str) -> None:
        lines = connection.makefile("rb")
        isFirst = True
        while not self.stopped.is_set():
            line = f"{len(self.echoed) + 1}\n".encode()
            try:
                connection.sendall(line)
                echo = lines.readline()
            except OSError:
                return
            if not echo.endswith(b"\n"):
                return
            assert echo == line, (echo, line)
            self.echoed.append(int(echo))
            if isFirst:
                self.instances.append(instanceId)
                isFirst = False
            self.stopped.wait(0.02)


def rehearse(prefix: str, children: list[subprocess.Popen[bytes]]) -> str:
    """Run the fleet in the namespaces, and return a sentence."""

    def start(namespace: int, *words: str, **environ: str) -> subprocess.Popen[bytes]:
        command = ["ip", "netns", "exec", f"{prefix}{namespace}", str(TWISTD)]
        child = subprocess.Popen(
            [*command, "--nodaemon", "--pidfile=", *words],
            env={**ENVIRON, **environ},
            stdout=subprocess.DEVNULL,
        )
        children.append(child)
        return child

    start(0, "fleetiq-local", "--listen", "tcp:4570:interface=0.0.0.0", f"--instances={INSTANCES}")
    waitUntil("the local FleetIQ responds", answers)
    ids = [each["InstanceId"] for each in control("state")["instances"]]
    processes = {}
    for number, instanceId in enumerate(ids, 1):
        metadata = f"{FLEETIQ}/instances/{instanceId}"
        address = f"10.77.0.1{number}:{{port}}"
        options = ("--group", "local", "--servers", str(SERVERS), "--connection-info", address)
        processes[instanceId] = start(
            number, "fleetiq-echo", *options, AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata
        )
    config = Config(region_name="us-east-1", max_pool_connections=PLAYERS + 1)
    gameLift = boto3.client("gamelift", config=config)

    def registered() -> list[str]:
        pages = gameLift.get_paginator("list_game_servers").paginate(GameServerGroupName="local")
        return [each["InstanceId"] for page in pages for each in page["GameServers"]]

    waitUntil("all are AVAILABLE", lambda: len(registered()) == INSTANCES * SERVERS)

    players = [Player(gameLift) for _ in range(PLAYERS)]
    for player in players:
        player.start()
        waitUntil("a player plays", partial(player.hasPlayed, 1))

    def onlyInstance(move: int) -> str:
        waitUntil("all players play", lambda: all(p.hasPlayed(move + 1) for p in players))
        [instanceId] = {player.instances[move] for player in players}
        return instanceId

    first = onlyInstance(0)
    control("interrupt", InstanceId=first, kind="spot", seconds=NOTICE)
    second = onlyInstance(1)
    assert processes[first].wait(30) == 0, "after the notice, the process exits with 0"
    assert first not in registered(), "after the notice, its game servers are deregistered"

    processes[second].kill()
    third = onlyInstance(2)
    assert {first, second, third} == set(ids)

    for player in players:
        player.stopped.set()
        player.join(30)
    assert all(player.echoed == [*range(1, len(player.echoed) + 1)] for player in players)
    processes[third].terminate()
    assert processes[third].wait(60) == -signal.SIGTERM
    assert set(registered()) == {second}, "only the killed instance has game servers"
    control("clock", advance=181)
    assert not registered(), "FleetIQ drops them without health reports"
    count = sum(len(player.echoed) for player in players)
    refused = sum(player.refused for player in players)
    return (
        f"{PLAYERS} players moved from an interrupted instance to a second, and from there, when "
        f"it was killed, to a third: {count} lines, all came back; {refused} claims were for a "
        "game server of the killed instance"
    )


def main() -> None:
    if len(sys.argv) > 1:
        children: list[subprocess.Popen[bytes]] = []
        try:
            sys.stdout.write(f"Rehearsal: {rehearse(sys.argv[1], children)}.\n")
        finally:
            for child in children:
                child.kill()
                child.wait()
        return
    prefix = f"fleetiq{os.getpid()}-"
    if shutil.which("ip") is None:
        sys.stdout.write("Rehearsal skipped: there is no ip command (Debian's iproute2).\n")
        return
    try:
        with network(prefix):
            command = ["ip", "netns", "exec", f"{prefix}0", sys.executable, __file__, prefix]
            status = subprocess.run(command, env=ENVIRON, check=False).returncode
    except subprocess.CalledProcessError as error:
        reason = " ".join((error.stderr or str(error)).split())
        sys.stdout.write(f"Rehearsal skipped: no network namespaces here: {reason}\n")
        return
    sys.exit(status)


if __name__ == "__main__":
    main()
