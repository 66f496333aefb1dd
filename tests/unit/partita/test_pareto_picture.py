from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidArgumentError
from core.front import Front
from partita.pareto_picture import FRONT_COLOR, KNEE_COLOR, draw_front
from tests.unit.partita.fronts import FRONT

IMPOSSIBLE = "#F1F1F1"
LARGE = 0.05
"""Share of the picture that only a shaded area has."""


def _colors(front: Front, path) -> dict[str, float]:
    """Colour → share of the picture."""
    draw_front(front, path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1])
    found, counts = np.unique(pixels, return_counts=True)
    names = (f"#{color:06X}" for color in found)
    return dict(zip(names, counts / len(pixels), strict=True))


def test_the_knee_and_the_impossible_have_their_colours(tmp_path) -> None:
    found = _colors(FRONT, tmp_path / "front.png")
    assert {FRONT_COLOR, KNEE_COLOR} <= found.keys()
    assert found[IMPOSSIBLE] > LARGE


def test_nothing_is_called_impossible_of_which_no_proof_is_there(tmp_path) -> None:
    for status in ("truncated", "stopped"):
        assert _colors(replace(FRONT, status=status), tmp_path / "front.png").get(IMPOSSIBLE, 0) < LARGE


def test_one_point_is_a_picture_without_a_knee(tmp_path) -> None:
    one = replace(FRONT, points=FRONT.points[:1], knee=None)
    found = _colors(one, tmp_path / "front.png")
    assert FRONT_COLOR in found
    assert KNEE_COLOR not in found


def test_costs_of_nothing_can_be_drawn(tmp_path) -> None:
    point = FRONT.points[0]
    free = replace(point, predicted=replace(point.predicted, latency_seconds=0.0, energy_joules=0.0))
    draw_front(Front("net", "complete", points=(free,)), tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 0


def test_an_infeasible_front_cannot_be_drawn(tmp_path) -> None:
    with pytest.raises(InvalidArgumentError, match="infeasible"):
        draw_front(Front("net", "infeasible", reason="no room"), tmp_path / "front.png")
    assert not list(tmp_path.iterdir())
