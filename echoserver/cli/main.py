"""The entry point of the C{fleetiq} command: its options, its reactor, and its exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import StringIO, TextIOWrapper
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.threads import deferToThreadPool
from twisted.python import usage

from echoserver.address import Address
from echoserver.cli import gameservers
from echoserver.cli.command import Options
from echoserver.cli.controls import Controls, controlsURL, newClient
from echoserver.cli.local import Local
from echoserver.cli.output import CommandFailed, Console
from echoserver.cli.play import Play, openStandardInput
from echoserver.cli.target import Connection, Target, resolveEndpoint, resolveGroup
from echoserver.client import ConnectFailed
from echoserver.gamelift.client import EndpointConfig, GameLift, IdleExitThreadPool
from echoserver.gamelift.errors import CallFailed

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class FleetiqOptions(Options):
    """The options before the subcommand. They select the FleetIQ endpoint."""

    synopsis = "Usage: fleetiq [options]"
    longdesc = (
        "Claim, play on and manage the game servers of a FleetIQ group. Without --group and "
        "--endpoint-url, this is a group of the local FleetIQ that 'make run' or "
        "'twistd -n fleetiq-local' starts. Try 'fleetiq COMMAND --help'."
    )
    optParameters = (
        ["group", None, None, "The game server group; in AWS unless an endpoint is set."],
        ["region", None, None, "The AWS region. [default: AWS_REGION, or the profile's]"],
        ["endpoint-url", None, None, "A FleetIQ endpoint. [default: AWS_ENDPOINT_URL_GAMELIFT]"],
    )
    optFlags = (["json", None, "Print JSON for programs, one object a line."],)
    subCommands = (
        ("play", None, Play, "Claim a game server and play on it."),
        ("claim", None, gameservers.Claim, "Claim a game server and print it."),
        ("list", None, gameservers.List, "List the game servers of the group."),
        ("describe", None, gameservers.Describe, "Describe a game server."),
        ("register", None, gameservers.Register, "Register a game server."),
        ("update", None, gameservers.Update, "Report the status of a game server."),
        ("deregister", None, gameservers.Deregister, "Deregister game servers."),
        ("local", None, Local, "Control the local FleetIQ: interrupt, fault, clock, ..."),
    )

    @property
    def command(self) -> str:
        """The command and subcommands that were parsed, such as C{fleetiq list}."""
        words = ["fleetiq"]
        options: usage.Options | None = self
        while options is not None and options.subCommand is not None:
            words.append(options.subCommand)
            options = getattr(options, "subOptions", None)
        return " ".join(words)

    def postOptions(self) -> None:
        """Require a subcommand."""
        if self.subCommand is None:
            commands = ", ".join(name for name, *_ in self.subCommands)
            raise usage.UsageError(f"name a command: {commands}.")


async def execute(
    options: FleetiqOptions,
    environ: Mapping[str, str],
    newConnection: Callable[[EndpointConfig], Connection],
    newTarget: Callable[[Connection, EndpointConfig, str], Target],
    newControls: Callable[[str], Controls],
    console: Console,
) -> int:
    """
    Resolve the target, write a line that describes it, and run the subcommand.

    @return: the exit status. Every error has been written as a message to standard error.
    """
    try:
        status: int
        group, region = options["group"], options["region"]
        if isinstance(options.subOptions, Local):
            controls = newControls(controlsURL(group, region, options["endpoint-url"], environ))
            console.writeMessage(f"local FleetIQ on {controls.url}")
            return await options.subOptions.run(controls, console)
        config = resolveEndpoint(group, region, options["endpoint-url"], environ)
        connection = newConnection(config)
        group, description = await resolveGroup(connection, config, group)
        console.writeMessage(description)
        status = await options.subOptions.run(newTarget(connection, config, group))
    except usage.UsageError as reason:
        console.writeMessage(f"{options.command}: {reason}")
        return WRONG_USAGE
    except (CallFailed, ConnectFailed, CommandFailed) as reason:
        console.writeMessage(str(reason))
        return FAILED
    except Exception as reason:  # noqa: BLE001 (a bug: the user gets a message, not a traceback)
        console.writeMessage(f"{options.command} failed unexpectedly, this is a bug: {reason!r}")
        return FAILED
    return status


def main() -> int:
    """
    Run the C{fleetiq} console script.

    @return: the exit status: 0 success, 1 failure, 2 wrong usage.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    console = _newConsole()
    options = parseCommandLine(sys.argv[1:], console)
    if options is None:
        return WRONG_USAGE
    console.json = bool(options["json"])
    status = _runReactor(options, console)
    if console.writeError is not None:
        # At exit Python flushes standard output again, and would print the error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(console.writeError, BrokenPipeError):
            console.writeMessage(f"Cannot write to standard output: {console.writeError}.")
        return FAILED
    return status


def parseCommandLine(words: Sequence[str], console: Console) -> FleetiqOptions | None:
    """Parse the command line. If it is wrong, write an error message and return None."""
    options = FleetiqOptions()
    try:
        for word in words:
            _checkUTF8(word)
        options.parseOptions(words)
    except usage.UsageError as reason:
        message = f"{str(reason).rstrip('.')}. {_hint(options, reason)}"
        console.writeMessage(f"{options.command}: {message}")
        return None
    return options


def _checkUTF8(word: str) -> None:
    data = word.encode("utf-8", "surrogateescape")
    try:
        data.decode()
    except UnicodeDecodeError as reason:
        escaped = data.decode("utf-8", "backslashreplace")
        raise usage.UsageError(f"'{escaped}' is not UTF-8.") from reason


def _hint(options: FleetiqOptions, reason: usage.UsageError) -> str:
    for option in ("group", "region", "endpoint-url", "json"):
        if options.subCommand and str(reason) == f"option --{option} not recognized":
            return f"Put it before the command: 'fleetiq --{option} ... {options.subCommand}'."
    return f"Try '{options.command} --help'."


def _newConsole() -> Console:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return Console(sys.stdout or StringIO(), sys.stderr or StringIO())


def _runReactor(options: FleetiqOptions, console: Console) -> int:
    from twisted.internet import reactor as installed

    reactor: Any = installed
    pool = IdleExitThreadPool()
    newConnection = partial(GameLift, reactor, partial(deferToThreadPool, reactor, pool))
    status = FAILED

    def newTarget(connection: Connection, config: EndpointConfig, group: str) -> Target:
        return Target(connection, config, group, reactor, console, endpointFor, openInput)

    def newControls(url: str) -> Controls:
        return Controls(reactor, newClient(reactor), url)

    def openInput(lines: IProtocol) -> None:
        stdin = os.open(os.devnull, os.O_RDONLY) if sys.stdin is None else sys.stdin.fileno()
        openStandardInput(reactor, stdin, lines)

    def endpointFor(address: Address) -> IStreamClientEndpoint:
        # This imports all of TLS, which only play needs.
        from twisted.internet.endpoints import HostnameEndpoint

        return HostnameEndpoint(reactor, address.host, address.port)

    def start() -> None:
        pool.start()
        running = execute(options, os.environ, newConnection, newTarget, newControls, console)
        Deferred.fromCoroutine(running).addCallback(stop)

    def stop(result: int) -> None:
        nonlocal status
        status = result
        reactor.stop()

    reactor.addSystemEventTrigger("after", "shutdown", pool.stopIfIdle)
    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    return status
