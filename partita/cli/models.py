"""``partita model add|ls|show`` and ``partita profile``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from partita import units
from partita.cli.inputs import read_samples
from partita.cli.options import (
    DEFAULT_ADDRESS,
    ActivationType,
    Address,
    AsJson,
    Calibration,
    Exclude,
    NoiseMeasure,
    NoiseSamples,
    PerChannel,
    Quantizable,
    Timing,
    Wire,
    given,
    pairs,
    shape,
)
from partita.cli.output import out, print_json, progress_bar, table

if TYPE_CHECKING:
    from core.profiles import ModelProfile, ProfilingPhase
    from core.tensors import TensorSpec
    from partita.results import Model, Profiles

model_app = typer.Typer(help="Bring models to the cluster and look at them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(model_app, name="model")
    app.command()(profile)


@model_app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="An ONNX file.", dir_okay=False)],
    name: Annotated[str | None, typer.Option("--name", help="Default: the file's name without its suffix.")] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=1x3x640x640", help="Fixed shape of a dynamic input; repeatable."),
    ] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.npz|IMAGE|FOLDER",
            help="Inputs by name, or pictures for a vision model, to calibrate int8 layers with; repeatable.",
        ),
    ] = None,
    task: Annotated[
        Literal["classify", "detect", "segment", "text"] | None,
        typer.Option(help="How pictures become inputs, if the file does not say.", show_default=False),
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Load an ONNX model."""
    from partita.client import connect

    shapes = {key: shape(text) for key, text in pairs(input_shape, "--input-shape", "NAME=1x3x640x640").items()}
    samples = read_samples(file, sample or (), shapes, task)
    with connect(address) as client, progress_bar("load") as progress:
        model = client.load(file, name, shapes, samples, progress)
    if as_json:
        print_json(model)
    else:
        known = f", {len(samples)} samples" if samples else ", no samples: int8 would be calibrated on random numbers"
        out.print(f"loaded [bold]{model.name}[/bold] ({model.hash[:12]}), {units.byte_count(model.byte_count)}{known}")


@model_app.command("ls")
def ls(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """List the models."""
    from partita.client import connect

    with connect(address) as client:
        models = client.models()
    if as_json:
        print_json(models)
        return
    shown = table("model", "hash", ">size", ">samples", "inputs", "outputs")
    for model in models:
        size = units.byte_count(model.byte_count)
        shown.add_row(model.name, model.hash[:12], size, str(model.samples), *_signature(model))
    out.print(shown if models else "No model is loaded; see partita model add.")


@model_app.command("show")
def show(
    model: Annotated[str, typer.Argument(help="Its name, or name@hash.")],
    layers: Annotated[bool, typer.Option("--layers", help="List the layers too.")] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Show a model and, where it was profiled, its profile."""
    from partita.client import connect

    with connect(address) as client:
        found, known = client.model(model)
    if as_json:
        print_json({"model": found, "profile": known})
        return
    inputs, outputs = _signature(found)
    out.print(f"[bold]{found.name}[/bold] {found.hash}")
    out.print(f"{units.byte_count(found.byte_count)}, {found.samples} calibration samples")
    out.print(f"inputs   {inputs}\noutputs  {outputs}", markup=False)
    if known is None:
        out.print("not profiled yet")
        return
    _print_model_profile(known)
    if layers:
        shown = table("layer", "operator", ">MFLOPs", ">weights", "int8")
        for layer in known.graph.layers:
            weights = units.byte_count(layer.weight_bytes)
            mark = "possible" if layer.quantizable else ""
            shown.add_row(layer.name, layer.operator, f"{layer.flops / 1e6:.2f}", weights, mark)
        out.print()
        out.print(shown)


def profile(
    model: Annotated[str, typer.Argument(help="A loaded model's name, or name@hash.")],
    quantizable: Quantizable = None,
    wire: Wire = None,
    exclude: Exclude = None,
    noise_samples: NoiseSamples = None,
    noise_measure: NoiseMeasure = None,
    calibration: Calibration = None,
    activation_type: ActivationType = None,
    per_channel: PerChannel = None,
    timing: Timing = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Measure all of it anew, also what is known.")] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Measure what is not yet known of a model, on every server."""
    from partita.client import connect

    options: Any = given(
        quantizable_count=quantizable,
        wire_count=wire,
        excluded_layers=exclude,
        noise_samples=noise_samples,
        noise_measure=noise_measure,
        calibration=calibration,
        activation_type=activation_type,
        per_channel=per_channel,
        timing=timing,
    )
    with connect(address) as client, progress_bar("profile") as progress:
        profiles = client.profile(model, refresh=refresh, progress=progress, **options)
    if as_json:
        print_json(profiles)
    else:
        print_profiles(profiles)


def print_profiles(profiles: "Profiles") -> None:
    """Print what is known of a model on each server."""
    _print_model_profile(profiles.model)
    shown = table("server", ">whole model", ">with int8", ">sum of layers alone", ">energy of a run", "")
    for server, execution in profiles.execution.items():
        times = (execution.whole_seconds, execution.mixed_seconds, execution.layer_sum_seconds)
        energy = profiles.energies[server]
        source = f"{energy.source} ({energy.meter})" if energy.meter else energy.source
        shown.add_row(server, *map(units.seconds, times), units.joules(energy.joules), source)
    out.print()
    out.print(shown)
    out.print()
    out.print(phase_table(profiles.phases))
    took = f" in {units.seconds(profiles.seconds)}" if profiles.measured else ""
    out.print(f"\n{profiles.measured} profiles were measured now{took}, the rest was known.")


def phase_table(phases: "tuple[ProfilingPhase, ...]") -> Table:
    """What profiling took, subject by subject."""
    shown = table("profile", "phase", ">took", "")
    for index, one in enumerate(phases):
        first = not index or phases[index - 1].subject != one.subject
        subject = one.subject if first else ""
        shown.add_row(subject, one.phase, units.seconds(one.seconds), "" if one.now else "before")
    return shown


def _print_model_profile(profile: "ModelProfile") -> None:
    graph = profile.graph
    flops = sum(layer.flops for layer in graph.layers)
    weights = sum(layer.weight_bytes for layer in graph.layers)
    out.print(
        f"{len(graph.layers)} layers, {flops / 1e9:.2f} GFLOPs, {units.byte_count(weights)} of weights, "
        f"{len(graph.quantizable)} layers may become int8"
    )
    if profile.noise is not None:
        fit = profile.noise
        out.print(
            f"noise ({profile.settings.noise_measure}) from {fit.samples} sets of int8 layers: R² {fit.r2:.3f}, "
            f"{fit.confidence:.0%} of unseen sets within {fit.error:.2g}, largest error {fit.residual:.2g}; "
            f"mean over {fit.inputs} inputs"
            + (f", give or take {fit.inputs_error:.0%} with others like them" if fit.inputs_error else "")
        )


def _signature(model: "Model") -> tuple[str, str]:
    return spec_text(model.inputs), spec_text(model.outputs)


def spec_text(specs: "tuple[TensorSpec, ...]") -> str:
    """Tensors as ``name float32 1x3x640x640``."""
    return ", ".join(f"{spec.name} {spec.dtype} {'x'.join(map(str, spec.shape)) or 'scalar'}" for spec in specs)
