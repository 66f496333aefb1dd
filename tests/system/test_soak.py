"""A short soak: whatever happens to processes and connections, every request ends, and rightly."""

from pathlib import Path

from bench.soak.run import Soak, run

SOAK = Soak(
    seconds=7,
    # Its first fault is a kill.
    seed=3,
    deadline_seconds=30,
    grace_seconds=60,
    longest_gap_seconds=1,
    longest_pause_seconds=3,
    recovery_seconds=150,
    freeing_seconds=60,
    kill_share=1.0,
)


async def test_every_request_ends_in_the_right_answer_or_in_a_typed_error(tmp_path: Path) -> None:
    result = await run(SOAK, tmp_path)
    assert result.complaints() == []
    assert result.endings.answers > 0
    assert result.faults["kill"] > 0
