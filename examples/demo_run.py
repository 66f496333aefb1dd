"""The demo's steps, one after the other."""

import asyncio
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image

from core.plan import Plan
from core.problem import Problem
from core.profiles import RuntimeSettings
from core.tensors import Array
from examples.demo_cluster import PROFILING, SERVERS, WISHES, privacy_rule
from examples.text_detection import (
    INPUT,
    INPUT_SHAPE,
    draw_text,
    find_text,
    model_path,
    photos,
    to_input,
    unseen_photos,
)
from inferencer.session import Session
from model_divider.wire import is_wire_layer
from partita import aio, units
from partita.cli.models import print_profiles
from partita.cli.output import out, progress_bar, table
from partita.cli.plan_table import plan_view
from partita.cluster import embedded_cluster
from partita.pictures import draw_plan
from partita.results import InferReport

OUTPUT = Path("demo-output")
"""Where the pictures go."""


async def run() -> None:
    """Start a cluster, bring a model to it, and let it find text in a picture."""
    _step("Starting the control services, a device, an edge and a cloud server")
    async with embedded_cluster(SERVERS) as cluster, aio.connect(cluster.address) as client:
        out.print(f"control services at {cluster.address}")
        await _demonstrate(client)
        _step("Stopping")


async def _demonstrate(client: aio.Client) -> None:
    _step("Loading PP-OCRv4 text detection, with photos to calibrate int8 layers")
    samples = [to_input(photo) for photo in photos()]
    with progress_bar("load") as progress:
        model = await client.load(model_path(), "text-detection", {INPUT: INPUT_SHAPE}, samples, progress)

    _step("Profiling: the model and its noise, every layer on every server, every link")
    with progress_bar("profile") as progress:
        profiles = await client.profile(model, progress=progress, **PROFILING)
    print_profiles(profiles)

    graph = profiles.model.graph
    first = next(name for name in graph.topological_order if name in graph.by_name and not is_wire_layer(name))
    _step(f"Planning, with one rule: {first}, the layer that sees the picture, stays on the device")
    with progress_bar("plan") as progress:
        plan = await client.plan(model, progress=progress, **WISHES, **privacy_rule(first))
    problem = await client.problem(plan.id or "")
    out.print(plan_view(plan, problem))

    _step("Deploying: quantising, cutting, and warming the parts on their servers")
    with progress_bar("deploy") as progress:
        deployment = await client.deploy(plan, progress=progress)
    out.print(f"{deployment.name} version {deployment.info.version} answers at {deployment.info.front_end_address}")

    images = unseen_photos()
    _step(f"Sending {len(images)} pictures that profiling did not see, a page of text first")
    reports: list[InferReport] = []
    seen: list[float] = []
    answers: list[dict[str, Array]] = []
    with progress_bar("infer") as progress:
        for index, image in enumerate(images):
            progress(index / len(images), f"request {index + 1} of {len(images)}")
            inputs = to_input(image)
            start = time.perf_counter()
            outputs, report = await deployment.infer_with_report(inputs)
            seen.append(time.perf_counter() - start)
            reports.append(report)
            answers.append(outputs)
    whole = await deployment.whole_model()
    same, floating = await asyncio.to_thread(_run_locally, whole, images)
    _compare(plan, reports, seen, _differences(answers, same), _differences(answers, floating))
    _draw(plan, problem, images[0], answers[0])
    await deployment.undeploy()


def _run_locally(whole: bytes, images: list[Image.Image]) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    """Answers of the plan's own int8 model, undivided, and of the float model, both run right here."""
    same, floating = Session(whole, RuntimeSettings()), Session(model_path().read_bytes(), RuntimeSettings())
    return [same.run(to_input(image)) for image in images], [floating.run(to_input(image)) for image in images]


def _differences(answers: list[dict[str, Array]], others: list[dict[str, Array]]) -> list[Array]:
    """Absolute differences of every output of every request."""
    return [
        np.abs(answer[name] - other[name]) for answer, other in zip(answers, others, strict=True) for name in answer
    ]


def _compare(
    plan: Plan, reports: list[InferReport], seen: list[float], from_whole: list[Array], from_floating: list[Array]
) -> None:
    assert plan.predicted is not None  # noqa: S101 - the plan was deployed
    largest = max(float(difference.max()) for difference in from_whole)
    noise = statistics.mean(float(difference.mean()) for difference in from_floating)
    measured = statistics.median(report.seconds for report in reports)
    shown = table("", ">predicted", ">measured", "")
    shown.add_row("latency", units.seconds(plan.predicted.latency_seconds), units.seconds(measured), "median")
    shown.add_row("latency, seen from here", "", units.seconds(statistics.median(seen)), "median")
    shown.add_row(
        "noise",
        f"{plan.predicted.noise:.2g}",
        f"{noise:.2g}",
        "mean difference from the float model",
    )
    shown.add_row("difference", "0", f"{largest:.2g}", "largest, from the same int8 model run whole")
    out.print(shown)


def _draw(plan: Plan, problem: Problem, image: Image.Image, answer: dict[str, Array]) -> None:
    OUTPUT.mkdir(exist_ok=True)
    found = find_text(image, answer)
    draw_text(image, found).save(OUTPUT / "text.png")
    draw_plan(plan, OUTPUT / "plan.png", problem)
    _step(f"Found {len(found)} lines of text")
    out.print(f"{OUTPUT / 'text.png'}  the page with its text boxes")
    out.print(f"{OUTPUT / 'plan.png'}  the plan")


def _step(title: str) -> None:
    out.print(f"\n[bold]{title}[/bold]")
