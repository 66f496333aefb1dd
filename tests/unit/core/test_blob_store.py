import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.blob_store import BlobStore
from core.errors import CorruptDataError, InvalidArgumentError, NotFoundError

DATA = bytes(range(256)) * 5000


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "blobs").iterdir())


def test_what_was_put_comes_back_under_its_hash(store: BlobStore) -> None:
    name = store.put(DATA)
    assert name == hashlib.sha256(DATA).hexdigest()
    assert store.get(name) == DATA
    assert store.size(name) == len(DATA)
    assert store.has(name)


@given(pieces=st.lists(st.binary(max_size=50)), piece_bytes=st.integers(1, 60))
def test_pieces_are_joined_and_cut(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], piece_bytes: int
) -> None:
    store = BlobStore(tmp_path_factory.getbasetemp() / "pieces")
    writer = store.begin()
    for piece in pieces:
        writer.write(piece)
    read = list(store.read(writer.commit(), piece_bytes))
    assert b"".join(read) == b"".join(pieces)
    assert all(len(piece) == piece_bytes for piece in read[:-1])


def test_equal_content_is_stored_once(store: BlobStore, tmp_path: Path) -> None:
    assert store.put(DATA) == store.put(DATA)
    assert len(files(tmp_path)) == 1


def test_a_discarded_write_stores_nothing(store: BlobStore, tmp_path: Path) -> None:
    writer = store.begin()
    writer.write(DATA)
    writer.discard()
    assert files(tmp_path) == []


def test_discarding_after_the_commit_changes_nothing(store: BlobStore) -> None:
    writer = store.begin()
    writer.write(DATA)
    name = writer.commit()
    writer.discard()
    assert store.get(name) == DATA


def test_content_of_another_hash_is_refused(store: BlobStore, tmp_path: Path) -> None:
    announced = hashlib.sha256(b"other").hexdigest()
    writer = store.begin()
    writer.write(DATA)
    with pytest.raises(CorruptDataError, match=announced):
        writer.commit(announced)
    writer.discard()
    assert files(tmp_path) == []


@pytest.mark.parametrize("damage", [DATA[:-1], b"\xff" + DATA[1:], DATA + b"x", b""])
def test_a_damaged_blob_is_named_set_aside_and_healed_by_a_put(store: BlobStore, tmp_path: Path, damage: bytes) -> None:
    name = store.put(DATA)
    (tmp_path / "blobs" / name).write_bytes(damage)
    with pytest.raises(CorruptDataError, match=name):
        store.get(name)
    assert not store.has(name)
    with pytest.raises(NotFoundError):
        store.get(name)
    store.put(DATA)
    assert store.get(name) == DATA


def test_a_put_heals_damage_that_nobody_has_read(store: BlobStore, tmp_path: Path) -> None:
    name = store.put(DATA)
    (tmp_path / "blobs" / name).write_bytes(b"damage")
    store.put(DATA)
    assert store.get(name) == DATA


def test_an_unknown_blob_is_not_found(store: BlobStore) -> None:
    name = "0" * 64
    assert not store.has(name)
    with pytest.raises(NotFoundError, match=name):
        store.get(name)
    with pytest.raises(NotFoundError, match=name):
        store.size(name)


@pytest.mark.parametrize(
    "name",
    ["", "../secret", "/etc/passwd", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61, "0" * 64 + "\n", "incoming-0"],
)
def test_hostile_names_are_refused(store: BlobStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    for call in (store.has, store.size, store.get):
        with pytest.raises(InvalidArgumentError):
            call(name)
    assert files(tmp_path) == []


def test_a_kill_leaves_nothing_half_written(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from core.blob_store import BlobStore\n"
        "store = BlobStore(Path(sys.argv[1])); store.put(b'whole')\n"
        "store.begin().write(bytes(10**6)); print('writing', flush=True); sys.stdin.read()"
    )
    directory = tmp_path / "blobs"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        os.kill(process.pid, signal.SIGKILL)
    assert len(files(tmp_path)) == 2
    store = BlobStore(directory)
    name = hashlib.sha256(b"whole").hexdigest()
    assert files(tmp_path) == [name]
    assert store.get(name) == b"whole"
