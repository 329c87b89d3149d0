"""The entry point of the C{fleetiq} command: its options, its reactor, and its exit status."""

from __future__ import annotations

import codecs
import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from io import StringIO, TextIOWrapper
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.threads import deferToThreadPool
from twisted.python import usage

from echoserver.address import Address
from echoserver.cli import gameservers
from echoserver.cli.command import Help, Options, Text
from echoserver.cli.controls import Controls, controlsURL, newClient
from echoserver.cli.endpoint import explain, resolveEndpoint
from echoserver.cli.local import Local
from echoserver.cli.output import CommandFailed, Console
from echoserver.cli.play import Play, openStandardInput
from echoserver.cli.target import Connection, Target, resolveGroup
from echoserver.cli.template import Template
from echoserver.client import ConnectFailed
from echoserver.gamelift.client import EndpointConfig, GameLift, IdleExitThreadPool
from echoserver.gamelift.errors import CallFailed

FAILED = 1
WRONG_USAGE = 2
# boto3 and FleetIQ reject a value of the command line with these codes.
_WRONG_VALUES = {"ParamValidationError", "ValidationException"}


class FleetiqOptions(Options):
    """The command line of C{fleetiq}."""

    synopsis = "COMMAND [options]"
    longdesc = (
        "Claim, play on and manage the game servers of a FleetIQ group. Without --group and "
        "--endpoint-url, this is a group of the local FleetIQ that 'make run' or "
        "'twistd -n fleetiq-local' starts. Try 'fleetiq COMMAND --help'."
    )
    subCommands = (
        ("play", None, Play, "Claim a game server and play on it."),
        ("claim", None, gameservers.Claim, "Claim a game server and print it."),
        ("list", None, gameservers.List, "List the game servers of the group."),
        ("describe", None, gameservers.Describe, "Describe a game server."),
        ("register", None, gameservers.Register, "Register a game server."),
        ("update", None, gameservers.Update, "Report the status of a game server."),
        ("deregister", None, gameservers.Deregister, "Deregister game servers."),
        ("local", None, Local, "Control the local FleetIQ: interrupt, fault, clock, ..."),
        ("template", None, Template, "Print a file for a deployment: cloudformation, ..."),
        ("help", None, Help, "Show the help of a command."),
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
            commands = ", ".join(name for name, *_ in self.subCommands if name != "help")
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
    config: EndpointConfig | None = None
    try:
        status: int
        group, region, url = map(options.globalOption, ("group", "region", "endpoint-url"))
        options.subOptions.checkConsole(console)
        if isinstance(options.subOptions, Template):
            console.write(options.subOptions.text(group, region))
            return 0
        if isinstance(options.subOptions, Local):
            controls = newControls(controlsURL(group, region, url, environ))
            console.writeMessage(f"local FleetIQ on {controls.url}")
            return await options.subOptions.run(controls, console)
        config = resolveEndpoint(group, region, url, environ)
        connection = newConnection(config)
        if options.subOptions.usesFleetIQ:
            group, description = await resolveGroup(connection, config, group, newControls)
            console.writeMessage(description)
        status = await options.subOptions.run(newTarget(connection, config, group or ""))
    except usage.UsageError as reason:
        console.writeMessage(f"{options.command}: {reason}")
        return WRONG_USAGE
    except CallFailed as reason:
        console.writeMessage(explain(reason, config))
        return WRONG_USAGE if reason.code in _WRONG_VALUES else FAILED
    except (ConnectFailed, CommandFailed) as reason:
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
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _openStandardStreams()
    console = _newConsole()
    options = parseCommandLine([os.fsencode(word) for word in sys.argv[1:]], console)
    status = options if isinstance(options, int) else _runReactor(options, console)
    if console.writeError is None:
        return status
    # At exit Python flushes standard output again, and would print the error again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(console.writeError, BrokenPipeError):
        # As other commands whose reader has ended. A shell reports 141.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    console.writeMessage(f"Cannot write to standard output: {console.writeError}.")
    return FAILED


def parseCommandLine(words: Sequence[bytes], console: Console) -> FleetiqOptions | int:
    """
    Parse the command line, and set what the console needs of it.

    @return: the exit status if no subcommand can run, after a message or the help was written.
    """
    options = FleetiqOptions()
    try:
        options.parseOptions([_decode(word) for word in words])
    except Text as text:
        console.write(str(text))
        return 0
    except usage.UsageError as reason:
        message = f"{str(reason).rstrip('.')}. {_hint(options, reason)}"
        console.writeMessage(f"{options.command}: {message}")
        return WRONG_USAGE
    console.json = bool(options.globalOption("json"))
    console.verbose = bool(options.globalOption("verbose"))
    return options


def _decode(word: bytes) -> str:
    """Decode an argument as UTF-8, whatever the locale is."""
    try:
        return word.decode()
    except UnicodeDecodeError as reason:
        escaped = word.decode("utf-8", "backslashreplace")
        raise usage.UsageError(f"'{escaped}' is not UTF-8.") from reason


def _hint(options: FleetiqOptions, reason: usage.UsageError) -> str:
    parsed: Any = options.subOptions if options.subCommand == "local" else options
    unknown = str(reason).removeprefix("Unknown command: ")
    names = [name for name, *_ in parsed.subCommands]
    if unknown != str(reason) and (similar := get_close_matches(unknown, names, 1)):
        return f"Did you mean '{options.command} {similar[0]}'?"
    return f"Try '{options.command} --help'."


class _Closed(StringIO):
    """A standard output that was closed before the command started."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _openStandardStreams() -> None:
    """Open closed standard descriptors, or the first sockets would get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(descriptor)


def _newConsole() -> Console:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # For the C locale, Python itself uses UTF-8 unless PYTHONUTF8 is 0.
            isASCII = codecs.lookup(stream.encoding).name == "ascii"
            encoding = "utf-8" if isASCII else stream.encoding
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
    console = Console(sys.stdout or _Closed(), sys.stderr or StringIO())
    if all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        console.ask = _ask
    return console


def _ask(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline()


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
