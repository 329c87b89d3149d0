"""The subcommand completion: the script with which a shell completes the command."""

from __future__ import annotations

from typing import NoReturn

import click
from click.shell_completion import get_completion_class

from echoserver.cli.command import Command, Text

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=Command,
    examples=[
        "completion bash > ~/.local/share/bash-completion/completions/fleetiq",
        'completion zsh > "${fpath[1]}/_fleetiq"',
        "completion fish > ~/.config/fish/completions/fleetiq.fish",
    ],
)
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> NoReturn:
    """
    Print the script with which a shell completes the commands and options of fleetiq.

    It takes effect in the next shell that you start.
    """
    of = get_completion_class(shell)
    assert of is not None
    raise Text(of(ctx.find_root().command, {}, "fleetiq", "_FLEETIQ_COMPLETE").source())
