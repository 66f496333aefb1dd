"""Every command that README and docs show, run in their order against a cluster that ``partita up`` runs."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from partita.cli.app import app
from services.runtime.settings import read_settings
from tests.system.documentation import IDS, Shell, lay_out, script_exists
from tests.unit.documents import SHOWN

NOT_RUN = {
    r"make \w+": "each is a gate, or the environment, of its own",
    r"pip install .*|yolo export .*|\. \.venv/bin/activate": "others' programs; the environment is that of the tests",
    r"docker compose .*": "tests/system/test_docker.py does, where there is an engine",
    r"sudo .*|partita lab (?!print).*": "needs root: tests/system/test_lab.py does",
    r"(\S+=\S+ )*deploy/host\.sh .*": "needs several hosts",
    r"(\.venv/bin/)?partita bench .*": "takes minutes: tests/unit/bench does on small figures",
    r"python -m bench\.\w+.*": "takes minutes: tests/unit/bench does on small figures",
    r"OTEL_\S+ python -m services .*": "needs a collector: tests/integration/test_tracing.py does",
    r"PARTITA_NOISE_MODULES=\S+ partita up|partita profile model --noise-measure my_noise:worst": (
        "a cluster of its own: tests/unit/profilers tries functions of one's own"
    ),
}
"""What is not run, and why; commands of Partita's are parsed all the same (tests/unit/partita)."""


def not_run(line: str) -> bool:
    return any(re.fullmatch(pattern, line) for pattern in NOT_RUN)


def is_mention(call: str) -> bool:
    """Whether a sentence names a command rather than a call of it: a part is missing, or only stood in for."""
    words = shlex.split(call.partition(" > ")[0])[1:]
    command: Any = get_command(app)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    needed = any(one.required for one in command.params if one.param_type_name == "argument")
    if any(re.fullmatch("[A-Z-]{3,}", word) and not word.startswith("-") and word not in IDS for word in words):
        return True
    return (hasattr(command, "commands") and not command.invoke_without_command) or (
        needed and all(word.startswith("-") for word in words)
    )


def test_every_exception_is_needed() -> None:
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, one.text) for one in SHOWN), f"{pattern} is not shown any more"


@pytest.mark.parametrize("line", sorted({one.text for one in SHOWN if one.language == "sh" and not_run(one.text)}))
def test_what_is_not_run_is_there(line: str) -> None:
    if line.startswith(("make", "deploy")) or "deploy/host.sh" in line:
        assert script_exists(line)
    if "python -m services" in line:
        words = shlex.split(line)
        assert read_settings(words[words.index("services") + 1 :], {}).services


# A minute and a half where nothing else is at work.
@pytest.mark.timeout(1200)
def test_documents_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    shell = Shell(monkeypatch, lambda: "".join(capsys.readouterr()))
    run = 0
    try:
        for document in dict.fromkeys(one.document for one in SHOWN):
            shell.begin()
            for one in (one for one in SHOWN if one.document == document):
                if one.language == "python":
                    if document == "docs/tutorial.md":
                        shell.python(one.text)
                elif not not_run(one.text) and not (one.inline and is_mention(one.text)):
                    shell.do(one.text)
                    run += 1
            shell.stop(left=1)
    finally:
        shell.stop()
    assert run > 50
    assert (tmp_path / "found" / "street.jpg").exists()
