"""Tensors beside a raw socket: loopback, shared memory and shaped links."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.transport.compression import Sent
from bench.transport.results import LOOPBACK, Results
from bench.transport.sending import Task, Times, to_json
from bench.transport.shaped_link import HOSTS, NoShapingError, shaped_link
from core.errors import InternalError
from core.problem import Compression
from core.progress import Progress, no_progress

SMALL, MEGABYTE, IMAGE, LARGE = 2**16, 1_000_000, 4_700_000, 20_000_000
"""Bytes of the tensors."""

ROUNDS = {SMALL: 200, MEGABYTE: 60, IMAGE: 40, LARGE: 15}
"""How often each is sent over loopback."""

RATES = (5e6, 20e6, 100e6)
"""Bytes per second of the shaped links."""

SHAPED_SECONDS = 3.0
"""How long one size may take on a shaped link, about; it is sent thrice at least, and thirty times at most."""

REST_SECONDS = 0.03
"""Before each transfer on a shaped link; its token bucket is full again then."""

COMPRESSED_ROUNDS = {5e6: 3, 20e6: 8, 100e6: 15}
"""How often each kind of tensor is sent as it is and compressed, by the link's rate."""

LIMIT_SECONDS = 300.0


def run(quick: bool = False, progress: Progress = no_progress) -> Results:
    """Measure.

    Args:
        quick: small tensors over loopback only, for a try.
        progress: told what is measured.

    Raises:
        InternalError: a process of the bench failed.
    """
    progress(0.0, "loopback and shared memory")
    counts = {SMALL: 10, MEGABYTE: 5} if quick else ROUNDS
    times: dict[str, Times] = {}
    compression: dict[str, dict[str, Sent]] = {}
    rounds = 3 if quick else 15
    times[LOOPBACK], compression[LOOPBACK] = _measure(["127.0.0.1"] * 2, ([], []), tuple(counts.items()), True, rounds)
    why_not = "left out for a try" if quick else ""
    for index, rate in enumerate(() if quick else RATES):
        progress((1 + index) / (1 + len(RATES)), f"a link of {rate / 1e6:.0f} MB/s")
        sizes = tuple(
            (size, min(30, count, max(3, int(SHAPED_SECONDS * rate / size / 3)))) for size, count in ROUNDS.items()
        )
        try:
            with shaped_link(rate) as prefixes:
                link = f"{rate / 1e6:.0f} MB/s"
                times[link], compression[link] = _measure(HOSTS, prefixes, sizes, False, COMPRESSED_ROUNDS[rate])
        except NoShapingError as error:
            why_not = str(error)
            break
    progress(1.0, "measured")
    return Results(times, why_not, compression)


def measure_loopback(sizes: tuple[tuple[int, int], ...]) -> Times:
    """Seconds of transfers to another process of this machine: over a raw socket and by all our ways.

    Args:
        sizes: bytes, and how often each is sent.

    Raises:
        InternalError: a process of the bench failed.
    """
    return _measure(["127.0.0.1"] * 2, ([], []), sizes, True, 0)[0]


def _measure(
    hosts: Sequence[str],
    prefixes: tuple[list[str], list[str]],
    sizes: tuple[tuple[int, int], ...],
    shared_memory: bool,
    compression_rounds: int,
) -> tuple[Times, dict[str, Sent]]:
    cores = sorted(os.sched_getaffinity(0))
    with (
        _peer(prefixes[1], "raw", hosts[1], cores[-1]) as raw,
        _peer(prefixes[1], "tensors", hosts[1], cores[-1]) as tensors,
    ):
        task = Task(
            raw, tensors, sizes, shared_memory, 0.0 if shared_memory else REST_SECONDS, cores[0], compression_rounds
        )
        command = [*prefixes[0], sys.executable, "-m", "bench.transport.sending"]
        done = subprocess.run(
            command, input=to_json(task), capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
    if done.returncode:
        raise InternalError(f"the sending process failed: {done.stderr[-500:]}")
    found = json.loads(done.stdout)
    times = {way: {int(size): seconds for size, seconds in by_size.items()} for way, by_size in found["times"].items()}
    sent = {
        kind: Sent(one["byte_count"], Compression(**one["known"]), tuple(one["plain"]), tuple(one["compressed"]))
        for kind, one in found["compression"].items()
    }
    return times, sent


@contextmanager
def _peer(prefix: list[str], kind: str, host: str, core: int) -> Iterator[str]:
    """A receiving process; yields its address."""
    command = [*prefix, sys.executable, "-m", "bench.transport.peer", kind, host, str(core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise InternalError(f"the receiving process {kind!r} did not start; see its errors above")
            yield address
            process.stdin.close()
            process.wait(30)
        finally:
            process.kill()
