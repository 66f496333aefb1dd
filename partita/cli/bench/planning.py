"""``partita bench planning``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import InternalError
from partita import units
from partita.cli.bench.app import bench_app, require_writable
from partita.cli.options import AsJson
from partita.cli.output import out, print_json, progress_bar, table

if TYPE_CHECKING:
    from bench.planning.results import CaseResult, Results, Timing


@bench_app.command("planning")
def planning(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PROBLEM.json]…", help="Problem files to measure too, exact against ilp."),
    ] = None,
    literal_limit: Annotated[
        float,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            help="When to stop the thesis's program on 6 servers; on others after a quarter.",
        ),
    ] = 1200.0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small problems only, for a try; no headline figures.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE.png", help="Draw the times.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time planning: exact, the tight integer program and the thesis's own program, side by side.

    All on one thread, each run in a process of its own; takes most of an hour. Ends with an error where two methods
    disagree on an optimum by more than a millionth. The thesis's program takes minutes, so it runs on four cases only:
    a chain of 500 layers, branched models of 700 layers on 3 and on 6 servers, and a YOLO-like model.
    """
    from bench.planning.cases import file_case, quick_cases, standard_cases
    from bench.planning.results import summary
    from bench.planning.run import run

    if picture is not None:
        require_writable(picture)
    cases = [*map(file_case, files or ()), *(quick_cases() if quick else standard_cases())]
    with progress_bar("bench planning") as progress:
        results = run(cases, literal_limit, quick, progress)
    figures = summary(results)
    if as_json:
        print_json(figures)
    else:
        _show(results, figures)
    if picture is not None:
        from bench.planning.picture import draw

        draw(results, picture)
    if figures["failures"]:
        raise InternalError("; ".join(figures["failures"]))


def _show(results: "Results", figures: dict[str, Any]) -> None:
    shown = table("case", ">layers", ">exact", ">ilp", ">literal", ">ilp / exact", ">literal / exact", ">memory")
    for one in results.cases:
        exact = one.timings.get("exact")
        shown.add_row(
            one.case.name,
            "–" if one.plan is None else str(one.plan.layers),
            *(_seconds(one.timings.get(method)) for method in ("exact", "ilp", "literal")),
            *(_ratio(one, method) for method in ("ilp", "literal")),
            units.byte_count(None if exact is None else exact.peak_memory_bytes),
        )
    out.print(shown)
    layers = "200" if results.quick else "1,850"
    out.print(f"components of {layers} scattered layers: {units.seconds(results.components.seconds)}")
    out.print(f"largest memory of the exact method's processes: {units.byte_count(figures['peak_memory_bytes'])}")
    out.print("seconds by the clock, medians; ratios by processor time; ≥: stopped by its limit")


def _seconds(timing: "Timing | None") -> str:
    if timing is None:
        return "–"
    return ("≥ " if timing.stopped else "") + units.seconds(timing.seconds)


def _ratio(one: "CaseResult", method: str) -> str:
    ratio = one.ratio(method)  # type: ignore[arg-type]
    if ratio is None:
        return "–"
    stopped = one.timings[method].stopped  # type: ignore[index]
    return ("≥ " if stopped else "") + (f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}")
