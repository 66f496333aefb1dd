"""The problem that the pictures are drawn from: that of the demo, measured on this machine."""

from core.problem import Problem
from core.progress import Progress
from examples.demo_cluster import PROFILING, SERVERS, WISHES, privacy_rule
from examples.text_detection import INPUT, INPUT_SHAPE, model_path, photos, to_input
from model_divider.wire import is_wire_layer
from partita import aio
from partita.cluster import embedded_cluster
from partita.options import PlanOptions


async def measured_problem(progress: Progress) -> Problem:
    """PP-OCRv4's text detector on the demo's device, edge and cloud, as the Deployer puts it together."""
    async with embedded_cluster(SERVERS) as cluster, aio.connect(cluster.address) as client:
        samples = [to_input(photo) for photo in photos()]
        model = await client.load(model_path(), "text-detection", {INPUT: INPUT_SHAPE}, samples)
        profiles = await client.profile(model, progress=progress, **PROFILING)
        order = profiles.model.graph.topological_order
        first = next(name for name in order if name in profiles.model.graph.by_name and not is_wire_layer(name))
        wishes: PlanOptions = {**WISHES, **privacy_rule(first)}
        plan = await client.plan(model, **wishes)
        return await client.problem(plan.id or "")
