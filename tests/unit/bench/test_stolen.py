from types import SimpleNamespace

import psutil
import pytest

from bench.stolen import StolenTime


def test_the_share_is_of_what_was_asked_for_since(monkeypatch: pytest.MonkeyPatch) -> None:
    times = SimpleNamespace(user=100.0, nice=0.0, system=20.0, idle=1000.0, irq=0.0, softirq=0.0, steal=50.0)
    monkeypatch.setattr(psutil, "cpu_times", lambda: times)
    stolen = StolenTime()
    assert stolen.share == 0.0
    times.user, times.system, times.idle, times.steal = 106.0, 21.0, 1100.0, 53.0
    assert stolen.share == pytest.approx(3 / 10)


def test_a_system_that_does_not_tell_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    times = SimpleNamespace(user=100.0, system=20.0, idle=1000.0)
    monkeypatch.setattr(psutil, "cpu_times", lambda: times)
    stolen = StolenTime()
    times.user = 200.0
    assert stolen.share == 0.0
