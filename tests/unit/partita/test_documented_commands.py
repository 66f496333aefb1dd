"""Commands that README and docs show exist as they are shown."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from partita.cli.app import app

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"(?:^|&& |`)(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?partita ([^`&\n]+)")


def shown() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        blocks = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        inline = re.findall(r"`(?:\.venv/bin/)?partita [^`\n]+`", text)
        for line in [*blocks, *inline]:
            for call in CALL.findall(line):
                # What stands for something else, or for a choice, is not a call.
                if not set("…|[]") & set(call):
                    yield document.name, call.split("#")[0].strip()


CALLS = sorted(set(shown()))


def test_calls_are_found() -> None:
    assert len(CALLS) > 8
    assert ("README.md", "deploy PLAN-ID --name app") in CALLS


@pytest.mark.parametrize(("document", "call"), CALLS)
def test_a_shown_command_is_understood(document: str, call: str) -> None:
    command: Any = get_command(app)
    words = shlex.split(call)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert command.name != "partita", f"{document}: there is no command {words[0]!r}"
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert used <= known | {"--help"}, f"{document}: {call}"
