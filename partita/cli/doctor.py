"""``partita doctor``."""

import asyncio
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from partita.cli.options import DEFAULT_ADDRESS, Address, AsJson
from partita.cli.output import err, out, print_json, table

if TYPE_CHECKING:
    from partita.doctor import Finding

MARKS = {"fine": "[green]✓[/green]", "note": "[yellow]![/yellow]", "wrong": "[red]✗[/red]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Look for what may be wrong with this installation and the cluster, and say what to do.

    Ends with exit code 1 where something is wrong.
    """
    with err.status("looking"):
        findings = asyncio.run(_examine(address))
    if as_json:
        print_json(findings)
    else:
        shown = table("", "what", "found")
        for finding in findings:
            advice = f"\n[dim]→ {escape(finding.advice)}[/dim]" if finding.advice else ""
            shown.add_row(MARKS[finding.verdict], finding.subject, escape(finding.text) + advice)
        out.print(shown)
    if any(finding.verdict == "wrong" for finding in findings):
        raise typer.Exit(1)


async def _examine(address: str) -> "list[Finding]":
    from partita.doctor import examine

    return [finding async for finding in examine(address)]
