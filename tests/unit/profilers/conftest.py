import pytest


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are not looked at here, so nothing need be measured after a pause."""
    monkeypatch.setattr("profilers.served_runs.PAUSE_SECONDS", 0.0)
