"""What an IPython shell shows of plans and fronts once Partita is imported there."""

import importlib
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

import partita
from core.front import Front
from core.plan import Plan
from tests.unit.partita.fronts import FRONT
from tests.unit.partita.plans import CHAIN


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
    made = InteractiveShell.instance()
    made.history_manager.enabled = False
    importlib.reload(partita)
    yield made
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(("value", "words"), [(CHAIN, "this plan"), (FRONT, "knee")])
def test_shown_as_picture_and_text(shell: InteractiveShell, value: Plan | Front, words: str) -> None:
    shown, _ = shell.display_formatter.format(value)
    assert shown["image/png"].startswith(b"\x89PNG")
    assert words in shown["text/plain"]


def test_what_is_infeasible_has_no_picture(shell: InteractiveShell) -> None:
    shown, _ = shell.display_formatter.format(Plan("net", "infeasible", reason="no room on edge"))
    assert "image/png" not in shown
    assert "no room on edge" in shown["text/plain"]
