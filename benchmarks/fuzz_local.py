"""
Send 100,000 random calls to the local FleetIQ, and check that it still responds and does not leak.

Starts C{twistd fleetiq-local}, and sends the calls of C{tests/local/fuzzing.py}, in both protocols.
One of a hundred is an incomplete request, after which the connection is closed. Prints the numbers
of responses, and the memory: C{.venv/bin/python benchmarks/fuzz_local.py [SEED]}.
"""

import re
import socket
import subprocess
import sys
import tempfile
from collections import Counter, deque
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from threading import Thread
from time import perf_counter
from typing import IO

from tests.local.fuzzing import Call, drawCall
from tests.local.inmemory import CBOR_HEADERS, callHeaders, requestBytes, rpcPath

CALLS = 100_000
# The first calls import modules and fill caches. This is no leak.
WARM_UP = CALLS // 10
LARGEST_GROWTH_MIB = 8.0


def main() -> int:
    """Run. Return 1 if a response was missing or wrong, or if the memory grew."""
    rng = Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    twistd = str(Path(sys.executable).with_name("twistd"))
    listen = ["--listen", "tcp:0:interface=127.0.0.1"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [twistd, "-n", "fleetiq-local", *listen], stdout=subprocess.PIPE, text=True, cwd=folder
        ) as server,
    ):
        assert server.stdout is not None
        port = portOf(server.stdout)
        log = Thread(target=deque, args=(server.stdout, 0))
        log.start()
        try:
            return fuzz(rng, port, server.pid)
        finally:
            server.terminate()
            log.join()


def portOf(log: IO[str]) -> int:
    """Wait for the line with the port, and return the port."""
    for line in log:
        if found := re.search(r"FleetIQ for this machine on http://127.0.0.1:(\d+)", line):
            return int(found[1])
    raise SystemExit("fleetiq-local ended before it listened.")


def fuzz(rng: Random, port: int, pid: int) -> int:
    """Send the calls, and print the figures. Return the exit code."""
    memory = [memoryOf(pid)]
    responses: Counter[str] = Counter()
    began = perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    for number in range(CALLS):
        if number == WARM_UP:
            memory.append(memoryOf(pid))
        call = drawCall(rng)
        if number % 100 == 0:
            sendHalf(rng, port, call)
            responses["incomplete"] += 1
        else:
            responses[statusOf(connection, call)] += 1
    took = perf_counter() - began
    memory.append(memoryOf(pid))
    for response, count in sorted(responses.items()):
        sys.stdout.write(f"{count:7,d} {response}\n")
    start, warm, end = memory
    sys.stdout.write(
        f"{CALLS:7,d} calls in {took:.0f} s; memory {start:.1f} MiB at the start, {warm:.1f} after "
        f"{WARM_UP:,d} calls, {end:.1f} at the end (goal: under {LARGEST_GROWTH_MIB:.0f} more)\n"
    )
    responds = respondsInBoth(connection)
    sys.stdout.write(
        f"The server {'still responds' if responds else 'does not respond'} in both protocols.\n"
    )
    known = all(re.match(r"incomplete|(JSON|CBOR) (200|400)", response) for response in responses)
    return int(not (responds and known and end - warm < LARGEST_GROWTH_MIB))


def statusOf(connection: HTTPConnection, call: Call) -> str:
    """Make a call. Return the protocol and the status of the response, or raise after 10 s."""
    connection.request("POST", call.path, call.body, call.headers)
    response = connection.getresponse()
    response.read()
    inCbor = response.headers["smithy-protocol"] == "rpc-v2-cbor"
    wrong = "" if inCbor == call.inCbor else "in the wrong protocol: "
    return f"{wrong}{'CBOR' if inCbor else 'JSON'} {response.status}"


def sendHalf(rng: Random, port: int, call: Call) -> None:
    """Send the beginning of a request with some wrong bytes, and close the connection."""
    request = bytearray(requestBytes("POST", call.path, call.headers, call.body))
    for _ in range(rng.randrange(5)):
        request[rng.randrange(len(request))] = rng.randrange(256)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        caller.sendall(request[: rng.randrange(len(request))])


def respondsInBoth(connection: HTTPConnection) -> bool:
    """Return whether a correct call succeeds in both protocols."""
    operation = "ListGameServerGroups"
    calls = (
        Call("/", callHeaders(operation), b"{}", inCbor=False),
        Call(rpcPath(operation), CBOR_HEADERS, b"\xa0", inCbor=True),
    )
    return [statusOf(connection, call) for call in calls] == ["JSON 200", "CBOR 200"]


def memoryOf(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(shown.stdout) / 1024


if __name__ == "__main__":
    sys.exit(main())
