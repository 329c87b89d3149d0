"""Run a parsed command line: find its target, run the reactor, and report errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from click import UsageError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.threads import deferToThreadPool

from echoserver.address import Address
from echoserver.cli.command import ControlAction, TextAction
from echoserver.cli.controls import Controls, controlsURL, newClient
from echoserver.cli.endpoint import explain, resolveEndpoint
from echoserver.cli.main import FAILED, WRONG_USAGE, CommandLine
from echoserver.cli.output import CommandFailed, Console
from echoserver.cli.target import Connection, Target, resolveGroup
from echoserver.client import ConnectFailed, Lines
from echoserver.gamelift.botocoresession import openBotocoreSession
from echoserver.gamelift.client import EndpointConfig, GameLift, IdleExitThreadPool
from echoserver.gamelift.errors import CallFailed

# boto3 and FleetIQ reject a value of the command line with these codes.
_WRONG_VALUES = {"ParamValidationError", "ValidationException"}


async def execute(
    line: CommandLine,
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
    action, settings = line.action, line.settings
    group, region, url = settings.group, settings.region, settings.endpoint_url
    try:
        if isinstance(action, TextAction):
            console.write(action.text(settings))
            return 0
        action.check(console)
        if isinstance(action, ControlAction):
            controls = newControls(controlsURL(group, region, url, environ))
            console.writeMessage(f"local FleetIQ on {controls.url}")
            return await action.run(controls, console)
        config = resolveEndpoint(group, region, url, environ, usesGroup=action.usesGroup)
        connection = newConnection(config)
        if action.usesFleetIQ:
            group, description = await resolveGroup(
                connection, config, group, newControls, usesGroup=action.usesGroup
            )
            console.writeMessage(description)
        return await action.run(newTarget(connection, config, group or ""))
    except UsageError as reason:
        console.writeMessage(f"{line.name}: {reason}")
        return WRONG_USAGE
    except CallFailed as reason:
        console.writeMessage(explain(reason, config))
        return WRONG_USAGE if reason.code in _WRONG_VALUES else FAILED
    except (ConnectFailed, CommandFailed) as reason:
        console.writeMessage(str(reason))
        return FAILED
    except Exception as reason:  # noqa: BLE001 (a bug: the user gets a message, not a traceback)
        console.writeMessage(f"{line.name} failed unexpectedly, this is a bug: {reason!r}")
        return FAILED


def runReactor(line: CommandLine, console: Console) -> int:
    """Run a command line until it ends, and return the exit status."""
    from twisted.internet import reactor as installed

    # Only play on standard input needs it.
    from echoserver.cli.inputlines import openStandardInput

    reactor: Any = installed
    pool = IdleExitThreadPool()
    newConnection = partial(
        GameLift, reactor, partial(deferToThreadPool, reactor, pool), session=openBotocoreSession
    )
    status = FAILED

    def newTarget(connection: Connection, config: EndpointConfig, group: str) -> Target:
        prompt = openPrompt if console.isTerminal and console.ask is not None else None
        return Target(connection, config, group, reactor, console, endpointFor, openInput, prompt)

    def newControls(url: str) -> Controls:
        return Controls(reactor, newClient(reactor), url)

    def openInput(lines: IProtocol) -> None:
        import sys

        stdin = os.open(os.devnull, os.O_RDONLY) if sys.stdin is None else sys.stdin.fileno()
        openStandardInput(reactor, stdin, lines)

    def openPrompt() -> Lines:
        from echoserver.cli.prompt import PromptLines
        from echoserver.cli.terminalmodes import TerminalModes

        return PromptLines(reactor, TerminalModes())

    def endpointFor(address: Address) -> IStreamClientEndpoint:
        # This imports all of TLS, which only play needs.
        from twisted.internet.endpoints import HostnameEndpoint

        return HostnameEndpoint(reactor, address.host, address.port)

    def start() -> None:
        pool.start()
        running = execute(line, os.environ, newConnection, newTarget, newControls, console)
        Deferred.fromCoroutine(running).addCallback(stop)

    def stop(result: int) -> None:
        nonlocal status
        status = result
        reactor.stop()

    reactor.addSystemEventTrigger("after", "shutdown", pool.stopIfIdle)
    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    return status
