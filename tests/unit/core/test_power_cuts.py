"""Whatever the moment of a power cut: the state is the old or the new, and what was acknowledged is there."""

import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.blob_store import BlobStore
from core.document_store import DocumentStore
from tests.unit.power_cuts import moments, torn

Write = Callable[[DocumentStore], None]


def put(store: DocumentStore) -> None:
    store.put("plan", "new", "n" * 9000)


def replace(store: DocumentStore) -> None:
    store.put("plan", "old", "r" * 9000)


def delete(store: DocumentStore) -> None:
    store.delete("plan", "old")


def several(store: DocumentStore) -> None:
    with store.transaction():
        store.put("plan", "new", "n" * 9000)
        store.put("newest", "plan", "new")
        store.delete("plan", "old")


def state(path: Path) -> dict[str, list[tuple[str, str]]]:
    with DocumentStore(path) as store:
        return {kind: store.list(kind) for kind in ("plan", "newest")}


@pytest.mark.parametrize("write", [put, replace, delete, several])
def test_documents(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "documents.db"
    with DocumentStore(path) as store:
        store.put("plan", "old", "o" * 5000)
        copies = moments(path, store, lambda: write(store), tmp_path / "copies")
        cuts = list(torn(copies[0], copies[-1], tmp_path / "torn"))
    old, new = state(copies[0]), state(copies[-1])
    assert old != new
    assert len(copies) > 2
    assert len(cuts) > 8
    for copy in copies:
        assert state(copy) in (old, new)
    for copy, whole in cuts:
        assert state(copy) in ((new,) if whole else (old, new))


def test_an_error_takes_the_whole_transaction_back(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "documents.db") as store:
        store.put("plan", "old", "o")
        with pytest.raises(ZeroDivisionError):
            fail_in_a_transaction(store)
        assert store.list("plan") == [("old", "o")]
        several(store)
        assert store.list("plan") == [("new", "n" * 9000)]


def fail_in_a_transaction(store: DocumentStore) -> None:
    with store.transaction():
        store.put("plan", "new", "n")
        store.delete("plan", "old")
        raise ZeroDivisionError


WRITER = """
import sys; from pathlib import Path; from core.document_store import DocumentStore
store = DocumentStore(Path(sys.argv[1]))
begin = len(store.list("plan"))
for number in range(begin, 10**6):
    store.put("plan", str(number), str(number) * 20000)
    print(number, flush=True)
"""


def test_a_writer_killed_at_any_moment_has_kept_what_it_said(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    choice = random.Random(0)  # noqa: S311 - nothing secret
    acknowledged = -1
    for _ in range(4):
        # Enough for the log to be written back into the file now and then.
        until = acknowledged + choice.randrange(20, 60)
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            while acknowledged < until:
                acknowledged = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            # What it had said by then counts too; a line that the kill tore does not.
            said = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
            acknowledged = int(said[-1]) if said else acknowledged
        with DocumentStore(path) as store:
            kept = [int(key) for key, text in store.list("plan") if text == key * 20000]
        assert kept in (list(range(acknowledged + 1)), list(range(acknowledged + 2)))
        acknowledged = kept[-1]


DATA = bytes(range(256)) * 40


class PowerCutError(Exception):
    """The lights go out."""


class Disk:
    """A disk that loses power at its ``step``-th operation: what was not synchronised may be lost."""

    def __init__(self, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._step = step
        self._synchronised: set[int] = set()
        self.renamed: list[tuple[Path, Path, bytes | None]] = []
        self._fsync, self._replace = os.fsync, Path.replace
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(Path, "replace", lambda path, target: self.replace(path, target))

    def _count(self) -> None:
        self._step -= 1
        if self._step == 0:
            raise PowerCutError

    def fsync(self, descriptor: int) -> None:
        self._count()
        self._fsync(descriptor)
        self._synchronised.add(os.fstat(descriptor).st_ino)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self.renamed.clear()

    def replace(self, path: Path, target: Path) -> None:
        self._count()
        before = target.read_bytes() if target.exists() else None
        self._replace(path, target)
        self.renamed.append((path, target, before))

    def lose(self, directory: Path, renames_too: bool) -> None:
        """Forget what may be forgotten: half of every file that was not synchronised, and the renames."""
        for path in directory.iterdir():
            if path.stat().st_ino not in self._synchronised:
                os.truncate(path, path.stat().st_size // 2)
        if renames_too:
            for path, target, before in reversed(self.renamed):
                self._replace(target, path)
                if before is not None:
                    target.write_bytes(before)


@pytest.mark.parametrize("renames_too", [False, True])
@pytest.mark.parametrize("step", range(1, 5))
@pytest.mark.parametrize("damaged", [False, True])
def test_blobs(tmp_path: Path, step: int, renames_too: bool, damaged: bool) -> None:
    name = hashlib.sha256(DATA).hexdigest()
    store = BlobStore(tmp_path)
    acknowledged = store.put(b"acknowledged before")
    if damaged:
        # The one that is there already is of no use.
        (tmp_path / name).write_bytes(b"damaged")
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = Disk(step, monkeypatch)
        disk._synchronised = {path.stat().st_ino for path in tmp_path.iterdir()}
        try:
            writer = store.begin()
            writer.write(DATA)
            stored = writer.commit() == name
        except PowerCutError:
            stored = False
            writer._file.close()
        disk.lose(tmp_path, renames_too)
    again = BlobStore(tmp_path)
    assert again.get(acknowledged) == b"acknowledged before"
    if stored:
        assert step == 4, "there are three operations: file, name and directory"
        assert again.get(name) == DATA
        return
    assert step <= 3
    if again.has(name) and not (damaged and (tmp_path / name).read_bytes() == b"damaged"):
        assert again.get(name) == DATA
    assert again.put(DATA) == name
    assert again.get(name) == DATA
