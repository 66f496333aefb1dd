"""All pictures from one problem."""

from collections.abc import Iterator
from pathlib import Path

from bench.concepts.pictures import draw_cuts, draw_energy, draw_links, draw_noise, draw_profiles
from bench.concepts.sweeps import free, under_noise_limits
from core.problem import Problem
from optimizer.pareto import make_front
from optimizer.plan import make_plan
from partita.pareto_picture import draw_front

MOST_POINTS = 20


def draw_all(problem: Problem, folder: Path) -> Iterator[Path]:
    """Draw a picture for each concept into ``folder``; yields each as it is there.

    Raises:
        OSError: a picture cannot be written.
    """
    draw_cuts(problem, make_plan(problem), folder / "cuts.png")
    yield folder / "cuts.png"
    draw_profiles(problem, folder / "profiles.png")
    yield folder / "profiles.png"
    draw_links(problem, folder / "links.png")
    yield folder / "links.png"
    front = make_front(problem, MOST_POINTS)
    draw_front(front, folder / "front.png")
    yield folder / "front.png"
    draw_energy(front, folder / "energy.png")
    yield folder / "energy.png"
    draw_noise(list(under_noise_limits(free(problem))), folder / "noise.png")
    yield folder / "noise.png"
