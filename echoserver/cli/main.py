"""The C{fleetiq} command: its options, the reactor it runs in, and its exit status."""

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
from echoserver.cli.console import Console, Refused
from echoserver.cli.controls import Controls, controlsURL, newClient
from echoserver.cli.lines import openStandardInput
from echoserver.cli.local import Local
from echoserver.cli.play import Play
from echoserver.cli.where import Door, Fleet, chooseWhere, reach
from echoserver.client import NotReached
from echoserver.gamelift.client import EndpointConfig, GameLift, IdleExitThreadPool
from echoserver.gamelift.errors import CallFailed

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class FleetiqOptions(Options):
    """The options before the subcommand, which say where FleetIQ is."""

    synopsis = "Usage: fleetiq [options]"
    longdesc = (
        "Without --group and --endpoint-url it speaks to the local FleetIQ that 'make run' or "
        "'twistd -n fleetiq-local' starts. Try 'fleetiq COMMAND --help'."
    )
    optParameters = (
        ["group", None, None, "The game server group, in AWS unless an endpoint is given."],
        ["region", None, None, "The AWS region; else AWS_REGION, or the profile's."],
        ["endpoint-url", None, None, "Another FleetIQ; else AWS_ENDPOINT_URL_GAMELIFT."],
    )
    optFlags = (["json", None, "Print a JSON object a line, for machines."],)
    subCommands = (
        ("play", None, Play, "Claim a game server and play on it."),
        ("claim", None, gameservers.Claim, "Claim a game server, and print it."),
        ("list", None, gameservers.List, "List the game servers of the group."),
        ("describe", None, gameservers.Describe, "Describe a game server."),
        ("register", None, gameservers.Register, "Register a game server."),
        ("update", None, gameservers.Update, "Report for a game server."),
        ("deregister", None, gameservers.Deregister, "Deregister game servers."),
        ("local", None, Local, "Control the local FleetIQ: interrupt, fault, clock, ..."),
    )

    @property
    def command(self) -> str:
        """What the user typed, as far as it is understood: C{fleetiq list}."""
        words = ["fleetiq"]
        options: usage.Options | None = self
        while options is not None and options.subCommand is not None:
            words.append(options.subCommand)
            options = getattr(options, "subOptions", None)
        return " ".join(words)

    def postOptions(self) -> None:
        """Ask for a command."""
        if self.subCommand is None:
            commands = ", ".join(name for name, *_ in self.subCommands)
            raise usage.UsageError(f"name a command: {commands}.")


async def execute(
    options: FleetiqOptions,
    environ: Mapping[str, str],
    openDoor: Callable[[EndpointConfig], Door],
    makeFleet: Callable[[Door, EndpointConfig, str], Fleet],
    openControls: Callable[[str], Controls],
    console: Console,
) -> int:
    """
    Find the group or the controls, say where they are, and do what is asked there.

    @return: the exit status. Whatever goes wrong has been said, in a sentence.
    """
    try:
        status: int
        group, region = options["group"], options["region"]
        if isinstance(options.subOptions, Local):
            controls = openControls(controlsURL(group, region, options["endpoint-url"], environ))
            console.say(f"local FleetIQ on {controls.url}")
            return await options.subOptions.run(controls, console)
        where = chooseWhere(group, region, options["endpoint-url"], environ)
        door = openDoor(where)
        group, place = await reach(door, where, group)
        console.say(place)
        status = await options.subOptions.run(makeFleet(door, where, group))
    except usage.UsageError as reason:
        console.say(f"{options.command}: {reason}")
        return WRONG_USAGE
    except (CallFailed, NotReached, Refused) as reason:
        console.say(str(reason))
        return FAILED
    except Exception as reason:  # noqa: BLE001 (a bug: still no traceback for the user)
        console.say(f"{options.command} failed, and should not have: {reason!r}")
        return FAILED
    return status


def main() -> int:
    """
    The console script.

    @return: the exit status: 0 done, 1 refused or not reached, 2 wrong usage.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    console = _console()
    options = understand(sys.argv[1:], console)
    if options is None:
        return WRONG_USAGE
    console.json = bool(options["json"])
    status = _runReactor(options, console)
    if console.lost is not None:
        # Python would flush it again at exit, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(console.lost, BrokenPipeError):
            console.say(f"Standard output cannot be written to: {console.lost}.")
        return FAILED
    return status


def understand(words: Sequence[str], console: Console) -> FleetiqOptions | None:
    """Read the command line; None if it is wrong, and that has been said."""
    options = FleetiqOptions()
    try:
        for word in words:
            _refuseBytes(word)
        options.parseOptions(words)
    except usage.UsageError as reason:
        console.say(f"{options.command}: {str(reason).rstrip('.')}. {_advice(options, reason)}")
        return None
    return options


def _refuseBytes(word: str) -> None:
    typed = word.encode("utf-8", "surrogateescape")
    try:
        typed.decode()
    except UnicodeDecodeError as reason:
        shown = typed.decode("utf-8", "backslashreplace")
        raise usage.UsageError(f"'{shown}' is not UTF-8.") from reason


def _advice(options: FleetiqOptions, reason: usage.UsageError) -> str:
    for option in ("group", "region", "endpoint-url", "json"):
        if options.subCommand and str(reason) == f"option --{option} not recognized":
            return f"It goes before the command: 'fleetiq --{option} ... {options.subCommand}'."
    return f"Try '{options.command} --help'."


def _console() -> Console:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return Console(sys.stdout or StringIO(), sys.stderr or StringIO())


def _runReactor(options: FleetiqOptions, console: Console) -> int:
    from twisted.internet import reactor as installed

    reactor: Any = installed
    pool = IdleExitThreadPool()
    openDoor = partial(GameLift, reactor, partial(deferToThreadPool, reactor, pool))
    status = FAILED

    def makeFleet(door: Door, where: EndpointConfig, group: str) -> Fleet:
        return Fleet(door, where, group, reactor, console, endpoint, openInput)

    def openControls(url: str) -> Controls:
        return Controls(reactor, newClient(reactor), url)

    def openInput(typed: IProtocol) -> None:
        stdin = os.open(os.devnull, os.O_RDONLY) if sys.stdin is None else sys.stdin.fileno()
        openStandardInput(reactor, stdin, typed)

    def endpoint(address: Address) -> IStreamClientEndpoint:
        # It brings all of TLS along, which only play needs.
        from twisted.internet.endpoints import HostnameEndpoint

        return HostnameEndpoint(reactor, address.host, address.port)

    def begin() -> None:
        pool.start()
        done = execute(options, os.environ, openDoor, makeFleet, openControls, console)
        Deferred.fromCoroutine(done).addCallback(end)

    def end(result: int) -> None:
        nonlocal status
        status = result
        reactor.stop()

    reactor.addSystemEventTrigger("after", "shutdown", pool.stopIfIdle)
    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    return status
