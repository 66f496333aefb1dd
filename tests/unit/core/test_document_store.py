import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.document_store import DocumentStore
from core.errors import CorruptDataError


def test_documents_by_kind_and_key(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "deep" / "documents.db") as store:
        store.put("plan", "a", '{"x": "σ"}')
        store.put("model", "a", "{}")
        assert store.get("plan", "a") == '{"x": "σ"}'
        assert store.get("model", "a") == "{}"
        assert store.get("plan", "b") is None
        store.delete("plan", "a")
        store.delete("plan", "a")
        assert store.get("plan", "a") is None
        assert store.list("model") == [("a", "{}")]


def test_the_order_is_that_of_the_first_put(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "documents.db") as store:
        for key in ("c", "a", "b"):
            store.put("plan", key, "1")
        store.put("plan", "c", "2")
        assert store.list("plan") == [("c", "2"), ("a", "1"), ("b", "1")]
        store.delete("plan", "c")
        store.put("plan", "c", "3")
        assert [key for key, _ in store.list("plan")] == ["a", "b", "c"]


def test_hostile_keys_are_only_keys(tmp_path: Path) -> None:
    key = "'; DROP TABLE document; --/../\x00"
    with DocumentStore(tmp_path / "documents.db") as store:
        store.put("plan", key, "1")
        store.put("plan", "other", "2")
        assert store.list("plan") == [(key, "1"), ("other", "2")]


def test_documents_survive_a_kill(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from core.document_store import DocumentStore\n"
        "store = DocumentStore(Path(sys.argv[1])); store.put('plan', 'a', '1')\n"
        "print('put', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "documents.db"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "put\n"
        os.kill(process.pid, signal.SIGKILL)
    with DocumentStore(path) as store:
        assert store.get("plan", "a") == "1"


def test_threads_may_share_it(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "documents.db") as store, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: store.put("plan", str(number), str(number)), range(100)))
        texts = list(threads.map(lambda number: store.get("plan", str(number)), range(100)))
    assert texts == [str(number) for number in range(100)]


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(CorruptDataError, match=r"documents\.db.*move it away"):
        DocumentStore(path)
    assert path.read_bytes() == b"not a database " * 100
