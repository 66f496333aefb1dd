"""``partita deploy``, ``deployments`` and ``undeploy``."""

from typing import Annotated

import typer

from partita.cli.options import DEFAULT_ADDRESS, Address, AsJson
from partita.cli.output import out, print_json, progress_bar, table


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(deploy)
    app.command()(deployments)
    app.command()(undeploy)


def deploy(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="A plan's id.")],
    name: Annotated[str | None, typer.Option("--name", help="Name for requests; default: the model's.")] = None,
    micro_batch: Annotated[
        int,
        typer.Option("--micro-batch", min=1, metavar="REQUESTS", help="Run up to so many that wait at once."),
    ] = 1,
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Put a plan in force: cut the model and make the parts ready on their servers."""
    from partita.client import connect

    with connect(address) as client, progress_bar("deploy") as progress:
        info = client.deploy(plan_id, name, progress, micro_batch=micro_batch).info
    if as_json:
        print_json(info)
    else:
        out.print(
            f"[bold]{info.name}[/bold] version {info.version} is in force; it answers at {info.front_end_address}"
        )


def deployments(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """List the deployments."""
    from partita.client import connect

    with connect(address) as client:
        found = [deployment.info for deployment in client.deployments()]
    if as_json:
        print_json(found)
        return
    shown = table("deployment", "model", ">version", "plan", "state", "answers at", "servers")
    for info in found:
        servers = ", ".join(info.detail.addresses)
        shown.add_row(
            info.name, info.model, str(info.version), info.plan_id, info.state, info.front_end_address, servers
        )
    out.print(shown if found else "Nothing is deployed; see partita deploy.")


def undeploy(
    name: Annotated[str, typer.Argument(help="The deployment's name.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """End a deployment once its requests have ended."""
    from partita.client import connect

    with connect(address) as client:
        client.undeploy(name)
    if as_json:
        print_json({"undeployed": name})
    else:
        out.print(f"{name} has ended")
