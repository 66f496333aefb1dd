"""The pictures of the concepts' pages, from a small problem."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.concepts.lab_picture import draw_lab
from bench.concepts.run import draw_all
from bench.concepts.sweeps import crossing_bytes
from core.problem import NoiseModel, NoiseTerm
from tests.unit.optimizer.builders import chain


def test_every_concept_has_its_picture(tmp_path: Path) -> None:
    problem = chain({"device": [4.0, 4.0, 4.0], "edge": [1.0, 1.0, 3.0]}, watts=2.0)
    layers = tuple(replace(layer, quantizable=index == 1) for index, layer in enumerate(problem.model.layers))
    execution = {
        server: {name: replace(time, quantized_seconds=time.seconds / 2) for name, time in times.items()}
        for server, times in problem.execution.items()
    }
    problem = replace(
        problem,
        model=replace(problem.model, layers=layers),
        execution=execution,
        noise=NoiseModel(0.0, (NoiseTerm(("l1",), 0.1),)),
    )
    drawn = list(draw_all(problem, tmp_path))
    assert {path.stem for path in drawn} == {"cuts", "profiles", "links", "front", "energy", "noise"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_what_crosses_is_added_up_from_its_producer_to_its_last_consumer() -> None:
    order, crossing = crossing_bytes(chain({"device": [1.0] * 3}))
    assert order == ["l0", "l1", "l2"]
    assert crossing == [100.0, 100.0, 0.0]


def test_the_lab_is_drawn_from_what_its_check_says(tmp_path: Path) -> None:
    figures = {"bytes_per_second": 5e6, "delay_seconds": 0.0025}
    links = [
        {"source": one, "target": other, "asked": figures, "measured": figures}
        for one, other in (("device", "edge"), ("edge", "device"))
    ]
    draw_lab(links, tmp_path / "lab.png")
    assert (tmp_path / "lab.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(KeyError):
        draw_lab([{"source": "device"}], tmp_path / "none.png")
