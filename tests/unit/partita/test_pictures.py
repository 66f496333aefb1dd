from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidArgumentError
from core.plan import Plan
from partita.pictures import PALETTE, draw_plan
from tests.unit.partita.plans import CHAIN, plan_of


def _colors(path) -> set[str]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return {f"#{red:02X}{green:02X}{blue:02X}" for red, green, blue in np.unique(pixels, axis=0)}


def test_each_server_has_its_colour(tmp_path) -> None:
    path = tmp_path / "plan.png"
    draw_plan(CHAIN, path)
    found = _colors(path)
    assert set(PALETTE[:3]) <= found
    assert not set(PALETTE[3:5]) & found


def test_more_components_make_a_larger_picture(tmp_path) -> None:
    servers = ["device", *["edge", "cloud"] * 19, "device"]
    wide = plan_of(servers, [*((index, index + 1) for index in range(39)), (0, 39), (3, 20)])
    draw_plan(CHAIN, tmp_path / "small.png")
    draw_plan(wide, tmp_path / "wide.png")
    with Image.open(tmp_path / "small.png") as small, Image.open(tmp_path / "wide.png") as large:
        assert large.width > 5 * small.width


def test_more_servers_than_colours_can_be_drawn(tmp_path) -> None:
    servers = [f"server{index}" for index in range(12)]
    draw_plan(plan_of(servers, [(index, index + 1) for index in range(11)]), tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 0


def test_drawing_leaves_the_callers_matplotlib_alone(tmp_path) -> None:
    backend = mpl.rcParams["backend"]
    draw_plan(replace(CHAIN, predicted=None, quantized=()), tmp_path / "plan.png")
    assert mpl.rcParams["backend"] == backend


def test_an_infeasible_plan_cannot_be_drawn(tmp_path) -> None:
    with pytest.raises(InvalidArgumentError, match="infeasible"):
        draw_plan(Plan("net", "infeasible", reason="no room"), tmp_path / "plan.png")
    assert not list(tmp_path.iterdir())
