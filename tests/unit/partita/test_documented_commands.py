"""Commands that README and docs show exist as they are shown; tests/system runs them."""

import re
import shlex
from typing import Any

import pytest
from typer.main import get_command

from partita.cli.app import app
from tests.unit.documents import SHOWN

CALL = re.compile(r"(?:^|&& )(?:sudo )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?partita ([^&\n]+)")
CALLS = sorted({(one.document, call.strip()) for one in SHOWN for call in CALL.findall(one.text)})


def test_calls_are_found() -> None:
    assert len(CALLS) > 30
    assert ("README.md", "deploy PLAN-ID --name app") in CALLS


@pytest.mark.parametrize(("document", "call"), CALLS)
def test_a_shown_command_is_understood(document: str, call: str) -> None:
    command: Any = get_command(app)
    words = shlex.split(call)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert command.name != "partita", f"{document}: there is no command {words[0]!r}"
    if command.name == "serve":
        return
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert used <= known | {"--help"}, f"{document}: {call}"
