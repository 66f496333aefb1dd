"""``python -m bench.concepts [FOLDER]``: measure the demo's problem, or take a file's, and draw its pictures."""

import argparse
import asyncio
import json
from pathlib import Path

from bench.concepts.lab_picture import draw_lab
from bench.concepts.problem import measured_problem
from bench.concepts.run import draw_all
from core.documents import loads
from core.problem import Problem
from partita.cli.output import progress_bar


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(prog="python -m bench.concepts", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--problem", type=Path, help="instead of measuring, a file of partita plans show --problem")
    parser.add_argument("--lab", type=Path, help="draw only the lab, from what partita lab check --json printed")
    given = parser.parse_args()
    if given.lab:
        draw_lab(json.loads(given.lab.read_bytes())["links"], given.folder / "lab.png")
        return
    if given.problem:
        problem = loads(given.problem.read_bytes(), Problem)
    else:
        with progress_bar("measuring") as progress:
            problem = asyncio.run(measured_problem(progress))
    for path in draw_all(problem, given.folder):
        print(path)


if __name__ == "__main__":
    main()
