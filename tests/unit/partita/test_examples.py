"""Every command has an example, and every example is understood."""

import shlex
from collections.abc import Iterator

import click
import pytest
from typer.main import get_command

from partita.cli.app import app
from partita.cli.examples import EXAMPLES

ROOT = get_command(app)


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name, command


COMMANDS = dict(commands(ROOT))


def test_every_command_shows_its_example() -> None:
    assert COMMANDS.keys() == EXAMPLES.keys()
    assert {name: command.epilog for name, command in COMMANDS.items()} == {
        name: f"Example: {line}" for name, line in EXAMPLES.items()
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_understood(name: str) -> None:
    program, *words = shlex.split(EXAMPLES[name].partition(" >")[0])
    assert program == "partita"
    assert words[: len(name.split())] == name.split()
    COMMANDS[name].make_context(name, words[len(name.split()) :])
