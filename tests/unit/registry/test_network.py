import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.document_store import DocumentStore
from core.errors import InvalidArgumentError
from core.problem import Link
from registry.network import Network


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DocumentStore]:
    with DocumentStore(tmp_path / "links.sqlite") as store:
        yield store


def test_links_outlive_the_process(store: DocumentStore) -> None:
    link = Link("a", "b", 1.0, 0.1)
    Network(lambda: None, store).report([link])
    assert Network(lambda: None, store).links() == (link,)


def test_the_newest_measurement_of_a_link_wins(store: DocumentStore) -> None:
    changes: list[None] = []
    network = Network(lambda: changes.append(None), store)
    there, back = Link("a", "b", 1.0, 0.1), Link("b", "a", 2.0, 0.1)
    network.report([there, back])
    network.report([Link("a", "b", 3.0, 0.2)])
    network.report([])
    assert network.links() == (Link("a", "b", 3.0, 0.2), back)
    assert len(changes) == 2


@pytest.mark.parametrize(
    "bad",
    [Link("a", "b", math.inf, 0.1), Link("a", "b", 1.0, math.inf), Link("", "b", 1.0, 0.1), Link("a", "", 1.0, 0.1)],
)
def test_unusable_links_are_refused_together_with_the_rest(bad: Link, store: DocumentStore) -> None:
    changes: list[None] = []
    network = Network(lambda: changes.append(None), store)
    with pytest.raises(InvalidArgumentError, match="link"):
        network.report([Link("a", "c", 1.0, 0.1), bad])
    assert network.links() == ()
    assert not changes
