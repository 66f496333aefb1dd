import os
from pathlib import Path

import pytest

from bench.transport.shaped_link import remove_leftovers

PROGRAM = """#!/bin/sh
case "$2" in
  list) printf 'partita-999999999-sender (id: 1)\\npartita-999999999-receiver\\npartita-%s-sender\\nother-1\\n' {pid} ;;
  delete) echo "$3" >> {deleted} ;;
esac
"""


def test_only_what_killed_benches_left_behind_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted = tmp_path / "deleted"
    program = tmp_path / "ip"
    program.write_text(PROGRAM.format(pid=os.getpid(), deleted=deleted))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    left = ["partita-999999999-sender", "partita-999999999-receiver"]
    assert remove_leftovers() == left
    assert deleted.read_text().split() == left
