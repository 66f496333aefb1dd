"""The report's headline figures."""

from typing import Any

from bench.thesis.report import prediction, savings
from bench.thesis.report.plan_rows import distinct
from bench.thesis.results import Results


def summary(results: Results) -> dict[str, Any]:
    """One JSON object: errors of predicted latency, what splitting saves, and planning times."""
    models = {}
    for model in results.models:
        plans = distinct([model])
        errors = prediction.summary_rows(plans)[-1]
        shares = [savings.plan_row(plan) for plan in plans]
        models[model.name] = {
            "plans": len(plans),
            "median_error": errors["sum_median"],
            "worst_error": errors["sum_worst"],
            "overlapped_median_error": errors["overlapped_median"],
            "overlapped_worst_error": errors["overlapped_worst"],
            "least_latency": min(row["measured_latency"] for row in shares),
            "least_energy": min(row["measured_energy"] for row in shares),
            "profiling_seconds": model.profiling.seconds,
        }
    slowest = max((one.seconds for one in results.planning if one.method == "exact"), default=None)
    return {
        "size": results.sizes.label,
        "testbed": results.sessions[-1].testbed.kind,
        "models": models,
        "slowest_planning_seconds": slowest,
    }
