import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from partita.background import BackgroundLoop, shared_loop


@pytest.fixture
def loop():
    made = BackgroundLoop()
    yield made
    made.stop()


def test_results_and_errors_come_to_the_caller(loop) -> None:
    async def value(number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return number + 1

    assert loop.run(value(1)) == 2
    with pytest.raises(ValueError, match="negative"):
        loop.run(value(-1))


def test_several_threads_wait_at_once(loop) -> None:
    together = asyncio.Event()
    waiting = 0

    async def wait_for_all() -> str:
        nonlocal waiting
        waiting += 1
        if waiting == 4:
            together.set()
        # Ends only when all four are here: a loop that served one caller at a time would never end.
        await together.wait()
        return threading.current_thread().name

    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: loop.run(wait_for_all()), range(4), timeout=30))
    assert set(names) == {"partita"}


def test_an_interrupt_cancels_the_call(loop) -> None:
    ended = threading.Event()

    async def endless() -> None:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        loop.run(endless())
    assert ended.wait(30)


def test_a_call_from_the_loops_own_thread_is_refused_instead_of_waiting_forever(loop) -> None:
    async def inner() -> None: ...

    async def outer() -> None:
        loop.run(inner())

    with pytest.raises(RuntimeError, match="callback"):
        loop.run(outer())


def test_clients_share_one_loop() -> None:
    assert shared_loop() is shared_loop()
