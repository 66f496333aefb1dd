import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event

import pytest

from core.progress import Progress
from partita.cli.optimize import _apart


def until_stopped(stopped: Event, progress: Progress) -> str:
    """A search that ends with what it has when it is asked to."""
    progress(0.5, "searching")
    stopped.wait()
    return "the best so far"


def without_end(stopped: Event, progress: Progress) -> None:
    """A search that does not listen."""
    progress(0.5, "searching")
    stopped.wait()
    progress(0.6, "still searching")
    multiprocessing.get_context("spawn").Event().wait()


def interrupt(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def test_ctrl_c_brings_the_best_so_far() -> None:
    stopped = multiprocessing.get_context("spawn").Event()
    assert await _apart(until_stopped, stopped=stopped, progress=interrupt) == "the best so far"
    assert stopped.is_set()


async def test_a_second_ctrl_c_ends_the_search() -> None:
    stopped = multiprocessing.get_context("spawn").Event()
    with pytest.raises(KeyboardInterrupt):
        await _apart(without_end, stopped=stopped, progress=interrupt)
