"""``partita infer``, and what it does with arrays."""

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from core.errors import InvalidArgumentError
from partita import units
from partita.cli.inputs import read_inputs
from partita.cli.options import DEFAULT_ADDRESS, Address, AsJson
from partita.cli.output import out, print_json, progress_bar, table
from partita.cli.vision import Wishes, find_in_images, find_in_video, is_picture

if TYPE_CHECKING:
    from core.tensors import Array
    from partita.client import Deployment
    from partita.results import InferReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(infer)


def infer(
    deployment: Annotated[str, typer.Argument(help="The deployment's name.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT.npz|NAME=FILE.npy|IMAGE|FOLDER…", help="Arrays by input name; or images and folders of them."
        ),
    ] = None,
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Stream a video's frames instead.", dir_okay=False)
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw what is found into copies there.", file_okay=False)
    ] = None,
    task: Annotated[
        Literal["classify", "detect", "segment", "text"] | None,
        typer.Option(help="What the model does, if its file does not say.", show_default=False),
    ] = None,
    names: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Class names, one a line, if its file does not say.")
    ] = None,
    score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score that counts; default 0.25, for text 0.5.")
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Largest overlap of two boxes of a class that are both kept; default 0.7."),
    ] = None,
    in_flight: Annotated[int, typer.Option(min=1, metavar="N", help="Images under way at once.")] = 4,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUTPUT.npz", help="Keep the outputs.", dir_okay=False)
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, metavar="N", help="Send N requests, one after the other.")] = 1,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Deadline of each request.")] = 60.0,
    front_end: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where to send requests, if not where the deployment says.")
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Run a deployed model: on arrays from files, or on images, folders of images and videos."""
    from partita.client import connect

    given = inputs or []
    pictures = [text for text in given if is_picture(text)]
    if not given and video is None:
        raise InvalidArgumentError("nothing to run the model on; give arrays, images, a folder or --video FILE")
    if len(pictures) not in (0, len(given)) or (video is not None and given):
        raise InvalidArgumentError("give arrays, or images, or one video: each alone")
    if not pictures and video is None:
        arrays = read_inputs(given)
        with connect(address, front_end_address=front_end) as client:
            _infer_arrays(client.deployment(deployment), arrays, output, repeat, timeout, as_json)
        return
    if output is not None or repeat > 1:
        raise InvalidArgumentError("--output and --repeat are for arrays; for pictures there are --save and --json")
    wishes = Wishes(task, names, score, overlap, in_flight, timeout, save, as_json)
    with connect(address, front_end_address=front_end) as client:
        if video is not None:
            find_in_video(client, deployment, video, wishes)
        else:
            find_in_images(client, deployment, pictures, wishes)


def _infer_arrays(
    target: "Deployment", arrays: "dict[str, Array]", output: Path | None, repeat: int, timeout: float, as_json: bool
) -> None:
    seconds: list[float] = []
    with progress_bar("infer") as progress:
        for index in range(repeat):
            progress(index / repeat, f"request {index + 1} of {repeat}")
            start = time.perf_counter()
            outputs, report = target.infer_with_report(arrays, timeout)
            seconds.append(time.perf_counter() - start)
    if output is not None:
        import numpy as np

        np.savez(output, allow_pickle=False, **outputs)
    if as_json:
        figures = {name: statistics_of(array) for name, array in outputs.items()}
        print_json({"outputs": figures, "report": report, "latency_seconds": seconds})
    else:
        _print(outputs, report, seconds)


def statistics_of(array: "Array") -> dict[str, Any]:
    """Specification and figures of an output; the figures are ``None`` for an empty one."""
    empty = array.size == 0
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "min": None if empty else float(array.min()),
        "max": None if empty else float(array.max()),
        "mean": None if empty else float(array.mean()),
    }


def _print(outputs: "dict[str, Array]", report: "InferReport", seconds: list[float]) -> None:
    shown = table("output", "dtype", "shape", ">min", ">mean", ">max")
    for name, array in outputs.items():
        figures = statistics_of(array)
        values = ("–" if figures[key] is None else f"{figures[key]:.5g}" for key in ("min", "mean", "max"))
        shown.add_row(name, figures["dtype"], "x".join(map(str, array.shape)) or "scalar", *values)
    out.print(shown)
    runs = table(">component", "server", ">waited", ">computed", ">sent")
    for run in report.runs:
        times = (run.queue_seconds, run.compute_seconds, run.transfer_seconds)
        runs.add_row(str(run.component), run.server, *map(units.seconds, times))
    out.print()
    out.print(runs)
    out.print(
        f"\nversion {report.version}, {units.seconds(report.seconds)} inside, {units.seconds(seconds[-1])} seen here"
    )
    if len(seconds) > 1:
        out.print("requests: " + ", ".join(map(units.seconds, seconds)))
        out.print(
            f"median {units.seconds(statistics.median(seconds))}, "
            f"least {units.seconds(min(seconds))}, most {units.seconds(max(seconds))}"
        )
