import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.document_store import DocumentStore
from core.errors import InvalidArgumentError
from core.profiles import MeasuredLink
from registry.network import Network


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DocumentStore]:
    with DocumentStore(tmp_path / "links.sqlite") as store:
        yield store


def test_links_outlive_the_process(store: DocumentStore) -> None:
    link = MeasuredLink("a", "b", 1.0, 0.1, ((10.0, 0.5), (20.0, 0.6)), 1e9, 0.05)
    Network(lambda: None, store).report([link])
    assert Network(lambda: None, store).links() == (link,)


def test_the_newest_measurement_of_a_link_wins(store: DocumentStore) -> None:
    changes: list[None] = []
    network = Network(lambda: changes.append(None), store)
    there, back = MeasuredLink("a", "b", 1.0, 0.1), MeasuredLink("b", "a", 2.0, 0.1)
    network.report([there, back])
    network.report([MeasuredLink("a", "b", 3.0, 0.2)])
    network.report([])
    assert network.links() == (MeasuredLink("a", "b", 3.0, 0.2), back)
    assert len(changes) == 2


@pytest.mark.parametrize(
    "bad",
    [
        MeasuredLink("a", "b", math.inf, 0.1),
        MeasuredLink("a", "b", 1.0, math.inf),
        MeasuredLink("a", "b", 1.0, 0.1, ((10.0, math.nan),)),
        MeasuredLink("a", "b", 1.0, 0.1, measured_at=math.inf),
        MeasuredLink("", "b", 1.0, 0.1),
        MeasuredLink("a", "", 1.0, 0.1),
    ],
)
def test_unusable_links_are_refused_together_with_the_rest(bad: MeasuredLink, store: DocumentStore) -> None:
    changes: list[None] = []
    network = Network(lambda: changes.append(None), store)
    with pytest.raises(InvalidArgumentError, match="link"):
        network.report([MeasuredLink("a", "c", 1.0, 0.1), bad])
    assert network.links() == ()
    assert not changes


def test_watchers_are_told_of_changes_that_matter_only(store: DocumentStore) -> None:
    changes: list[None] = []
    network = Network(lambda: changes.append(None), store)
    for seconds in (0.5, 0.52, 0.48, 0.9):
        network.report([MeasuredLink("a", "b", 1e3, 0.1, ((10.0, seconds),))])
    assert len(changes) == 2
    assert network.links()[0].seconds(10) == 0.9
