"""``partita trace``."""

from typing import Annotated

import typer

from partita.cli.options import DEFAULT_ADDRESS, Address, AsJson
from partita.cli.output import out, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(trace)


def trace(
    request: Annotated[
        str, typer.Argument(help="A request's id, as partita infer prints it, or its beginning; default: the latest.")
    ] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Draw one request's timeline: what each component did and when."""
    from partita.cli.timeline import timeline_view
    from partita.client import connect

    with connect(address) as client:
        report = client.report(request)
    if as_json:
        print_json(report)
    else:
        out.print(timeline_view(report))
