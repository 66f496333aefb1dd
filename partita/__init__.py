"""What a user of Partita touches: the client, its results and its errors.

``partita.connect(address)`` gives the synchronous client, ``partita.aio.connect(address)`` its asyncio twin.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.errors import (
        BusyError,
        CorruptDataError,
        DeadlineExceededError,
        FailedPreconditionError,
        InfeasiblePlanError,
        InternalError,
        InvalidArgumentError,
        InvalidDocumentError,
        InvalidModelError,
        InvalidTensorError,
        NotFoundError,
        PartitaError,
        RequestCancelledError,
        ServerUnavailableError,
        TooLargeError,
    )
    from partita import aio
    from partita.client import Client, Deployment, connect
    from partita.options import PlanOptions, ProfileOptions
    from partita.results import DeploymentInfo, InferReport, Model, PlanSummary, Profiles

__all__ = [
    "BusyError",
    "Client",
    "CorruptDataError",
    "DeadlineExceededError",
    "Deployment",
    "DeploymentInfo",
    "FailedPreconditionError",
    "InfeasiblePlanError",
    "InferReport",
    "InternalError",
    "InvalidArgumentError",
    "InvalidDocumentError",
    "InvalidModelError",
    "InvalidTensorError",
    "Model",
    "NotFoundError",
    "PartitaError",
    "PlanOptions",
    "PlanSummary",
    "ProfileOptions",
    "Profiles",
    "RequestCancelledError",
    "ServerUnavailableError",
    "TooLargeError",
    "aio",
    "connect",
]

_MODULES = {
    "Client": "partita.client",
    "Deployment": "partita.client",
    "connect": "partita.client",
    "PlanOptions": "partita.options",
    "ProfileOptions": "partita.options",
    "DeploymentInfo": "partita.results",
    "InferReport": "partita.results",
    "Model": "partita.results",
    "PlanSummary": "partita.results",
    "Profiles": "partita.results",
}


def __getattr__(name: str) -> Any:
    # Looked up on first use: the services import partita.v1, and the client imports the services' runtime.
    if name not in __all__:
        raise AttributeError(f"module 'partita' has no attribute {name!r}")
    if name == "aio":
        return importlib.import_module("partita.aio")
    return getattr(importlib.import_module(_MODULES.get(name, "core.errors")), name)


if "IPython" in sys.modules and (_shell := sys.modules["IPython"].get_ipython()) is not None:
    importlib.import_module("partita.notebook").show_inline(_shell)
