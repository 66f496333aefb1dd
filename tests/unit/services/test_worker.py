import asyncio
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from core.errors import InfeasiblePlanError, InternalError
from core.progress import Progress, no_progress
from services.runtime.worker import run_in_process


def double(number: int, progress: Progress) -> int:
    progress(0.5, "half")
    progress(1.0, "done")
    return 2 * number


def refuse(progress: Progress) -> None:
    raise InfeasiblePlanError("the noise limit cannot be met")


def break_down(progress: Progress) -> None:
    raise ZeroDivisionError("by zero")


def die(progress: Progress) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def unpicklable(progress: Progress) -> object:
    return lambda: None


def hang(pids: Path, progress: Progress) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as solver:
        pids.write_text(f"{os.getpid()} {solver.pid}")
        progress(0.1, "solving")
        time.sleep(600)


def wait_a_while(progress: Progress) -> None:
    progress(0.1, "waiting")
    time.sleep(600)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until_dead(*pids: int) -> None:
    async with asyncio.timeout(30):
        while any(map(alive, pids)):
            await asyncio.sleep(0.01)


async def test_result_and_progress_come_back() -> None:
    steps: list[tuple[float, str]] = []
    assert await run_in_process(double, 21, progress=lambda *step: steps.append(step)) == 42
    assert steps == [(0.5, "half"), (1.0, "done")]


async def test_errors_keep_their_types() -> None:
    with pytest.raises(InfeasiblePlanError, match="the noise limit cannot be met"):
        await run_in_process(refuse, progress=no_progress)
    with pytest.raises(InternalError, match="break_down failed: ZeroDivisionError: by zero"):
        await run_in_process(break_down, progress=no_progress)


async def test_a_death_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InternalError, match="exit code -9 before its result"):
        await run_in_process(die, progress=no_progress)
    with pytest.raises(InternalError, match="exit code 1 before its result"):
        await run_in_process(unpicklable, progress=no_progress)
    assert "pickle" in capfd.readouterr().err


@pytest.fixture
async def dying_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New processes end as soon as they start, before they have read anything."""
    # Python's own resource tracker, which is such a process too, runs from then on.
    await run_in_process(double, 1, progress=no_progress)
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", str(program).encode())


@pytest.mark.usefixtures("dying_python")
async def test_a_death_while_it_starts_is_told() -> None:
    model = bytes(4 * 2**20)
    async with asyncio.timeout(60):
        with pytest.raises(InternalError, match="exit code 3 before its result"):
            await run_in_process(double, model, progress=no_progress)


async def test_cancelling_kills_the_process_and_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    solving = asyncio.Event()
    task = asyncio.create_task(run_in_process(hang, pids, progress=lambda *_: solving.set()))
    await solving.wait()
    child, grandchild = map(int, pids.read_text().split())
    assert alive(child)
    assert alive(grandchild)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not psutil.pid_exists(child)
    await until_dead(grandchild)


async def test_cancelling_while_it_starts_leaves_no_process() -> None:
    for steps in range(4):
        before = set(psutil.Process().children())
        task = asyncio.create_task(run_in_process(wait_a_while, progress=no_progress))
        for _ in range(steps):
            await asyncio.sleep(0.005 * steps)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Python's own resource tracker is started along with the first process and stays.
        left = [child for child in set(psutil.Process().children()) - before if "tracker" not in str(child.cmdline())]
        assert left == []


async def test_those_that_wait_leave_threads_for_others() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    waiting = [asyncio.Event() for _ in range(2)]
    tasks = [
        asyncio.create_task(run_in_process(wait_a_while, progress=lambda *_, event=event: event.set()))
        for event in waiting
    ]
    async with asyncio.timeout(60):
        for event in waiting:
            await event.wait()
        assert await asyncio.to_thread(lambda: 42) == 42
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from services.runtime.worker import run_in_process\nfrom tests.unit.services.test_worker import hang\n"
        "def step(*_):\n    print('solving', flush=True)\n"
        "if __name__ == '__main__':\n    asyncio.run(run_in_process(hang, Path(sys.argv[1]), progress=step))\n"
    )
    main = tmp_path / "main.py"
    main.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, str(main), str(pids)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "solving\n"
        parent.kill()
    asyncio.run(until_dead(*map(int, pids.read_text().split())))
