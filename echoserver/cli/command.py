"""The base classes of the subcommands: their options, their help, and what they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import NoSuchCommand
from click.shell_completion import CompletionItem

from echoserver.cli.values import Checked, groupName

if TYPE_CHECKING:
    from echoserver.cli.controls import Controls
    from echoserver.cli.output import Console
    from echoserver.cli.target import Target


class Text(Exception):
    """Text for standard output, instead of a command: the help, or the version."""


@dataclass(frozen=True, slots=True)
class Action:
    """
    What a command line runs with a FleetIQ.

    @ivar run: returns the exit status. It raises C{CallFailed}, C{ConnectFailed} and
        C{CommandFailed} with a message for the user; the exit status is 1 then.
    @ivar usesFleetIQ: whether a FleetIQ is needed.
    @ivar usesGroup: whether a group of it is needed.
    @ivar check: raises C{UsageError} if the console cannot ask what the command has to ask. It is
        called before anything else.
    """

    run: Callable[[Target], Awaitable[int]]
    usesFleetIQ: bool = True
    usesGroup: bool = True
    check: Callable[[Console], object] = lambda _console: None


@dataclass(frozen=True, slots=True)
class ControlAction:
    """What a command line runs with the controls of a local FleetIQ, as in L{Action}."""

    run: Callable[[Controls, Console], Awaitable[int]]
    check: Callable[[Console], object] = lambda _console: None


@dataclass(frozen=True, slots=True)
class TextAction:
    """
    What a command line prints without a FleetIQ.

    @ivar text: returns the text. It raises C{UsageError} if a value is not valid.
    """

    text: Callable[[Settings], str]


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of the options that all commands have."""

    group: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    json: bool = False
    verbose: bool = False


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep the value for L{Settings}. The one after the subcommand is parsed last, and wins."""
    if value is not None and value is not False:
        ctx.ensure_object(dict)[param.name] = value


def _showHelp(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        raise Text(f"{ctx.get_help()}\n")


def _showVersion(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        raise Text(f"{version('fleetiq-echo')}\n")


def _globalOptions() -> list[click.Parameter]:
    """Return the options that are accepted before and after the subcommand."""

    def option(*names: str, callback: Any = _keep, **settings: Any) -> click.Option:
        return click.Option(names, callback=callback, expose_value=False, **settings)

    return [
        option(
            "--group",
            metavar="NAME",
            type=Checked(groupName),
            help="The game server group; in AWS unless an endpoint is set.",
        ),
        option(
            "--region",
            metavar="REGION",
            help="The AWS region. [default: AWS_REGION, or the profile's]",
        ),
        option(
            "--endpoint-url",
            metavar="URL",
            help="A FleetIQ endpoint. [default: AWS_ENDPOINT_URL_GAMELIFT]",
        ),
        option("--json", is_flag=True, help="Print JSON for programs, one object a line."),
        option("--verbose", is_flag=True, help="Write each request to standard error."),
        option(
            "--version",
            is_flag=True,
            is_eager=True,
            callback=_showVersion,
            help="Print the version and exit.",
        ),
        option(
            "-h",
            "--help",
            is_flag=True,
            is_eager=True,
            callback=_showHelp,
            help="Print this help and exit.",
        ),
    ]


class Command(click.Command):
    """
    A command with the global options, and with examples in its help.

    @param examples: command lines without the word C{fleetiq}.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        settings = {"options_metavar": "[options]", "add_help_option": False, **settings}
        super().__init__(*args, **settings)
        self.examples = examples
        self._own = list(self.params)
        self.params += _globalOptions()

    def invoke(self, ctx: click.Context) -> Any:
        """Return what the callback returns, and keep the name of the command."""
        ctx.ensure_object(dict)["command"] = ctx.command_path
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the command, those of all commands, and the examples."""
        options = [each for each in self._own if isinstance(each, click.Option)]
        own = [record for each in options if (record := each.get_help_record(ctx))]
        if own:
            with formatter.section("Options"):
                formatter.write_dl(own)
        everywhere = [each for each in self.params if each not in self._own]
        with formatter.section("Options of all commands"):
            formatter.write_dl([each.get_help_record(ctx) or ("", "") for each in everywhere])
        if isinstance(self, Group):
            self.format_commands(ctx, formatter)
        if self.examples:
            with formatter.section("Examples" if len(self.examples) > 1 else "Example"):
                for each in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}fleetiq {each}\n")


class Group(Command, click.Group):
    """
    A command with subcommands, whose modules are imported when they are needed.

    @param lazy: by the name of the subcommand, where it is (C{module:attribute}), and a summary.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(
            *args,
            invoke_without_command=True,
            callback=self._requireCommand,
            subcommand_metavar="COMMAND [options]",
            options_metavar=None,
            **settings,
        )
        self.lazy = {**lazy, "help": (f"{__name__}:helpCommand", "Show the help of a command.")}

    def _requireCommand(self) -> None:
        if click.get_current_context().invoked_subcommand is None:
            names = ", ".join(name for name in self.lazy if name != "help")
            raise click.UsageError(f"name a command: {names}.")

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands, in the order of the help."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in self.lazy:
            return None
        module, _, name = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the subcommand, or raise an error that names the most similar one."""
        if args[0] not in self.lazy and not ctx.resilient_parsing:
            raise NoSuchCommand(args[0], possibilities=list(self.lazy), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries without an import of the modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.lazy.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a subcommand without an import of the modules."""
        found = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in self.lazy.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


def idArgument(metavar: str) -> Callable[[Any], Any]:
    """Return the decorator for any number of ids. The command itself checks how many it takes."""
    return click.argument("ids", nargs=-1, metavar=metavar)


@click.command(cls=Command, examples=["help play", "help local interrupt"])
@click.argument("words", nargs=-1, metavar="[COMMAND]")
@click.pass_context
def helpCommand(ctx: click.Context, words: Sequence[str]) -> None:
    """Show the help of a command, the same as COMMAND --help."""
    assert ctx.parent is not None
    named = ctx.parent
    for word in words:
        group = named.command
        command = group.get_command(named, word) if isinstance(group, Group) else None
        if command is None:
            names = list(group.lazy) if isinstance(group, Group) else []
            raise NoSuchCommand(word, possibilities=names, ctx=named)
        named = command.make_context(word, [], parent=named, resilient_parsing=True)
    raise Text(f"{named.get_help()}\n")
