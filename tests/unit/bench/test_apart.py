import os
import signal
import subprocess
import sys
import time

import pytest

from bench.planning.apart import Begin, Ended, Stopped, run_apart
from core.errors import InternalError, InvalidArgumentError


def double(number: int, begin: Begin) -> tuple[int, int]:
    begin()
    return 2 * number, os.getpid()


def work_for_ever(begin: Begin) -> None:
    begin()
    while True:
        pass


def fail(kind: str, begin: Begin) -> None:
    begin()
    if kind == "exit":
        os._exit(7)
    raise (InvalidArgumentError if kind == "known" else ZeroDivisionError)("why")


def fill(count: int, begin: Begin) -> int:
    begin()
    return len(bytes(range(256)) * (count // 256))


def test_the_answer_comes_from_another_process() -> None:
    found = run_apart(double, 21, limit_seconds=60.0)
    assert isinstance(found, Ended)
    assert found.value[0] == 42
    assert found.value[1] != os.getpid()
    assert found.peak_memory_bytes > 1e6


def test_memory_is_that_of_the_one_process() -> None:
    large, small = (run_apart(fill, count) for count in (400_000_000, 1_000))
    assert isinstance(large, Ended)
    assert isinstance(small, Ended)
    assert large.value == 400_000_000
    assert large.peak_memory_bytes > 400_000_000
    assert small.peak_memory_bytes < large.peak_memory_bytes - 200_000_000


def test_the_limit_ends_the_process() -> None:
    begin = time.perf_counter()
    found = run_apart(work_for_ever, limit_seconds=0.3)
    assert isinstance(found, Stopped)
    assert 0.3 <= found.seconds < time.perf_counter() - begin
    assert found.processor_seconds > 0.0


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("known", InvalidArgumentError, "^why$"),
        ("unknown", InternalError, "fail failed: ZeroDivisionError: why"),
        ("exit", InternalError, "exit code 7"),
    ],
)
def test_failures_arrive_as_typed_errors(kind, error, message) -> None:
    with pytest.raises(error, match=message):
        run_apart(fail, kind)


def say_and_work(begin: Begin) -> None:
    print("working", flush=True)  # noqa: T201 - to the test, through the parent's standard output
    work_for_ever(begin)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_process_ends_with_its_parent(end) -> None:
    program = "from tests.unit.bench.test_apart import *\nif __name__ == '__main__': run_apart(say_and_work)"
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "working\n"
    parent.send_signal(end)
    # Standard output is at its end only when nobody is left that could write to it.
    assert parent.communicate(timeout=60)[0] == ""
