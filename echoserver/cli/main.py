"""The entry point of the C{fleetiq} command: its command line, its streams, and its exit status."""

from __future__ import annotations

import codecs
import errno
import gc
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO, TextIOWrapper
from typing import Any

import click

from echoserver.cli.command import Action, ControlAction, Group, Settings, Text, TextAction
from echoserver.cli.output import Console

FAILED = 1
WRONG_USAGE = 2
_COMPLETE = "_FLEETIQ_COMPLETE"

fleetiq = Group(
    "fleetiq",
    help=(
        "Claim, play on and manage the game servers of a FleetIQ group. Without --group and "
        "--endpoint-url, this is a group of the local FleetIQ that 'make run' or "
        "'twistd -n fleetiq-local' starts. Try 'fleetiq COMMAND --help'."
    ),
    lazy={
        "play": ("echoserver.cli.play:play", "Claim a game server and play on it."),
        "claim": ("echoserver.cli.gameservers:claim", "Claim a game server and print it."),
        "list": ("echoserver.cli.lists:listServers", "List the game servers of the group."),
        "instances": (
            "echoserver.cli.lists:listInstances",
            "List the instances of the group.",
        ),
        "groups": ("echoserver.cli.lists:listGroups", "List the game server groups."),
        "watch": ("echoserver.cli.watch:watch", "Watch the game servers of the group."),
        "bots": ("echoserver.cli.bots:bots", "Claim and play as many players, and measure."),
        "describe": ("echoserver.cli.gameservers:describe", "Describe a game server."),
        "register": ("echoserver.cli.gameservers:register", "Register a game server."),
        "update": ("echoserver.cli.gameservers:update", "Report the status of a game server."),
        "deregister": ("echoserver.cli.gameservers:deregister", "Deregister game servers."),
        "local": (
            "echoserver.cli.local:local",
            "Control the local FleetIQ: interrupt, fault, clock, ...",
        ),
        "template": (
            "echoserver.cli.template:template",
            "Print a file for a deployment: cloudformation, ...",
        ),
        "completion": (
            "echoserver.cli.completion:completion",
            "Print the completion script of a shell.",
        ),
    },
    examples=["play", "--group MyGroup --region ap-northeast-2 list"],
)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """
    A parsed command line.

    @ivar name: the command and its subcommands, such as C{fleetiq list}.
    """

    name: str
    action: Action | ControlAction | TextAction
    settings: Settings


def main() -> int:
    """
    Run the C{fleetiq} console script.

    @return: the exit status: 0 success, 1 failure, 2 wrong usage.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The imports make many objects that stay: collect them less often.
    gc.set_threshold(100_000, 20, 20)
    if instruction := os.environ.get(_COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(fleetiq, {}, "fleetiq", _COMPLETE, instruction)
    _openStandardStreams()
    console = _newConsole()
    parsed = parseCommandLine([os.fsencode(word) for word in sys.argv[1:]], console)
    if isinstance(parsed, int):
        status = parsed
    else:
        from echoserver.cli.run import runReactor

        status = runReactor(parsed, console)
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


def parseCommandLine(words: Sequence[bytes], console: Console) -> CommandLine | int:
    """
    Parse the command line, and set what the console needs of it.

    @return: the exit status if no subcommand can run, after a message or the help was written.
    """
    options: dict[str, Any] = {}
    try:
        with fleetiq.make_context("fleetiq", [_decode(word) for word in words], obj=options) as ctx:
            action = fleetiq.invoke(ctx)
    except Text as text:
        console.write(str(text))
        return 0
    except click.UsageError as reason:
        console.writeMessage(_usageMessage(reason))
        return WRONG_USAGE
    name = options.pop("command")
    settings = Settings(**options)
    console.json, console.verbose = settings.json, settings.verbose
    return CommandLine(name, action, settings)


def _usageMessage(reason: click.UsageError) -> str:
    name = reason.ctx.command_path if reason.ctx is not None else "fleetiq"
    message = reason.format_message()
    hint = "" if "Did you mean" in message else f" Try '{name} --help'."
    return f"{name}: {message.rstrip('.')}{'' if message.endswith('?') else '.'}{hint}"


def _decode(word: bytes) -> str:
    """Decode an argument as UTF-8, whatever the locale is."""
    try:
        return word.decode()
    except UnicodeDecodeError as reason:
        escaped = word.decode("utf-8", "backslashreplace")
        raise click.UsageError(f"'{escaped}' is not UTF-8.") from reason


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
    isDumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    console.showsProgress = sys.stderr is not None and sys.stderr.isatty() and not isDumb
    console.isTerminal = sys.stdout is not None and sys.stdout.isatty() and not isDumb
    return console


def _ask(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline()
