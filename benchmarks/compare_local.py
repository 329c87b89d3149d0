"""
How long servers that stand in for AWS take to start, and what they need: for docs/compare.md.

C{.venv/bin/python -m benchmarks.compare_local 'COMMAND'...} starts each command in turn, several
times. C{PORT} in a command is a free port.
"""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.error import URLError
from urllib.request import urlopen

RUNS = 7
DEADLINE = 120.0


@dataclass(frozen=True, slots=True)
class Start:
    """
    One start, until the first response.

    @ivar seconds: real time.
    @ivar processorSeconds: of all threads.
    @ivar megabytes: resident memory after the response.
    """

    seconds: float
    processorSeconds: float
    megabytes: float


def main(commands: Sequence[str]) -> None:
    starts: dict[str, list[Start]] = {command: [] for command in commands}
    for _ in range(RUNS):
        for command in commands:
            starts[command].append(start(command))
    for command, each in starts.items():
        seconds = sorted(one.seconds for one in each)
        sys.stdout.write(
            f"{command}\n  start {median(seconds):.2f} s (lowest {seconds[0]:.2f}), processor "
            f"{median(one.processorSeconds for one in each):.3f} s (lowest "
            f"{min(one.processorSeconds for one in each):.3f}), memory "
            f"{median(one.megabytes for one in each):.0f} MB\n"
        )


def start(command: str) -> Start:
    """Start a command, and end it after its first response."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    began = perf_counter()
    process = subprocess.Popen(
        shlex.split(command.replace("PORT", str(port))),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not responds(f"http://127.0.0.1:{port}/latest/meta-data/instance-id"):
            if perf_counter() - began > DEADLINE or process.poll() is not None:
                raise SystemExit(f"{command} does not respond.")
        seconds = perf_counter() - began
        return Start(seconds, *usageOf(process.pid))
    finally:
        process.terminate()
        process.wait()


def responds(url: str) -> bool:
    try:
        with urlopen(url, timeout=DEADLINE):
            return True
    except URLError:
        return False


def usageOf(pid: int) -> tuple[float, float]:
    """Return the processor time in seconds and the resident memory in MB of a process, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    processor = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return processor, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
