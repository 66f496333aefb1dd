"""``partita plan`` and ``partita plans``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partita import units
from partita.cli.fronts import Csv, Pareto, PlanOrFront, PlanOrFrontPicture, check_front_options, finish_front
from partita.cli.options import (
    DEFAULT_ADDRESS,
    Address,
    AsJson,
    EnergyWeight,
    Exclude,
    Goal,
    LatencyWeight,
    Method,
    NoiseSamples,
    Picture,
    Quantizable,
    Solver,
    Wire,
    byte_size,
    given,
    pairs,
)
from partita.cli.output import out, print_json, progress_bar, table, write_json

if TYPE_CHECKING:
    from core.plan import Plan
    from core.problem import Problem

plans_app = typer.Typer(help="List plans, show one, or compare two.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(plan)
    app.add_typer(plans_app, name="plans")


def plan(
    model: Annotated[str, typer.Argument(help="A loaded model's name, or name@hash.")],
    device: Annotated[str | None, typer.Option(metavar="SERVER", help="Where requests start and answers end.")] = None,
    goal: Goal = None,
    latency_weight: LatencyWeight = None,
    energy_weight: EnergyWeight = None,
    noise_limit: Annotated[float | None, typer.Option(help="Largest mean difference from the float outputs.")] = None,
    device_energy_limit: Annotated[
        float | None, typer.Option(metavar="JOULES", help="Largest energy of the device per request.")
    ] = None,
    memory_limit: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVER=BYTES", help="Room for weights, for example edge=1.5MB; repeatable."),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN=SERVER,…", help="Layers (shell wildcards) that may run only there; repeatable."),
    ] = None,
    server: Annotated[list[str] | None, typer.Option(help="Plan for this server; repeatable; default: all.")] = None,
    method: Method = "exact",
    solver: Solver = "highs",
    time_limit: Annotated[float | None, typer.Option(metavar="SECONDS", help="When to stop the solver.")] = None,
    quantizable: Quantizable = None,
    wire: Wire = None,
    exclude: Exclude = None,
    noise_samples: NoiseSamples = None,
    pareto: Pareto = None,
    output: PlanOrFront = None,
    picture: PlanOrFrontPicture = None,
    csv: Csv = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Find out which server best runs which layer; changes nothing that runs."""
    from partita.client import connect

    check_front_options(pareto, goal, latency_weight, energy_weight, csv)
    rules = pairs(rule, "--rule", "PATTERN=SERVER,…")
    limits = pairs(memory_limit, "--memory-limit", "SERVER=BYTES")
    options: Any = given(
        device=device,
        goal=goal,
        latency_weight=latency_weight,
        energy_weight=energy_weight,
        noise_limit=noise_limit,
        device_energy_limit_joules=device_energy_limit,
        memory_limit_bytes={name: byte_size(text) for name, text in limits.items()},
        layer_rules={pattern: names.split(",") for pattern, names in rules.items()},
        servers=server,
        method=method,
        solver=solver,
        time_limit_seconds=time_limit,
        quantizable_count=quantizable,
        wire_count=wire,
        excluded_layers=exclude,
        noise_samples=noise_samples,
    )
    with connect(address) as client, progress_bar("plan") as progress:
        if pareto is not None:
            front = client.plan_front(model, pareto, progress=progress, **options)
        else:
            made = client.plan(model, progress=progress, **options)
            problem = client.problem(made.id) if made.id else None
    if pareto is not None:
        finish_front(front, output, picture, csv, as_json)
    else:
        finish(made, problem, output, picture, as_json)


@plans_app.callback()
def plans(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Only plans of this model.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """List the plans; partita plans show ID shows one."""
    if context.invoked_subcommand is None:
        _list(model, address, as_json)


@plans_app.command("ls")
def ls(
    model: Annotated[str, typer.Option(help="Only plans of this model.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """List the plans."""
    _list(model, address, as_json)


@plans_app.command("show")
def show(
    plan_id: Annotated[str, typer.Argument(metavar="ID")],
    problem: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the problem that the plan solves, for partita optimize."),
    ] = None,
    picture: Picture = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Show a plan."""
    from partita.client import connect

    with connect(address) as client:
        found = client.plan_by_id(plan_id)
        solved = client.problem(plan_id)
    if problem is not None:
        write_json(solved, problem)
    show_plan(found, solved, None, picture, as_json)


@plans_app.command("diff")
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A plan's id, or a plan file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one of the same model.")],
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Show what moves from plan A to plan B."""
    from partita.cli.plan_difference import plan_difference

    out.print(plan_difference(_find(first, address), _find(second, address)))


def _find(text: str, address: str) -> "Plan":
    from core.documents import loads
    from core.plan import Plan
    from partita.client import connect

    if text.endswith(".json"):
        return loads(Path(text).read_text(encoding="utf-8"), Plan)
    with connect(address) as client:
        return client.plan_by_id(text)


def _list(model: str, address: str, as_json: bool) -> None:
    from partita.client import connect

    with connect(address) as client:
        found = client.plans(model)
    if as_json:
        print_json(found)
        return
    shown = table("plan", "model", "status", ">latency", ">energy", ">noise", ">gap")
    for entry in found:
        feasible = entry.status != "infeasible"
        shown.add_row(
            entry.id,
            entry.model,
            entry.status,
            units.seconds(entry.latency_seconds) if feasible else "–",
            units.joules(entry.energy_joules) if feasible else "–",
            f"{entry.noise:.3g}" if feasible else "–",
            units.gap(entry.gap) if feasible else "–",
        )
    out.print(shown if found else "There is no plan yet; see partita plan.")


def finish(plan: "Plan", problem: "Problem | None", output: Path | None, picture: Path | None, as_json: bool) -> None:
    """Show a plan that was just made; an infeasible one ends the command with its error.

    Raises:
        InfeasiblePlanError: the plan is infeasible.
    """
    from core.errors import InfeasiblePlanError

    if plan.status != "infeasible":
        show_plan(plan, problem, output, picture, as_json)
        return
    if output is not None:
        write_json(plan, output)
    if as_json:
        print_json(plan)
    raise InfeasiblePlanError(f"no plan meets the limits: {plan.reason}")


def show_plan(
    plan: "Plan", problem: "Problem | None", output: Path | None, picture: Path | None, as_json: bool
) -> None:
    """Print a plan and write the files that were asked for; the problem gives the picture its sizes."""
    from partita.cli.plan_table import plan_view

    if output is not None:
        write_json(plan, output)
    if picture is not None:
        from partita.pictures import draw_plan

        draw_plan(plan, picture, problem)
    if as_json:
        print_json(plan)
    else:
        out.print(plan_view(plan, problem))
