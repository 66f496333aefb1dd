"""Calls the ModelDivider."""

import grpc

from core.deployment import Division
from core.documents import dumps, loads
from core.plan import Plan
from core.profiles import ModelProfile
from core.progress import Progress
from partita.v1 import model_divider_pb2, model_divider_pb2_grpc
from services.runtime.errors import typed_errors
from services.runtime.events import result_of


class ModelDividerClient:
    """The ModelDivider, wherever it runs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = model_divider_pb2_grpc.ModelDividerStub(channel)

    async def divide(self, plan: Plan, profile: ModelProfile, progress: Progress) -> Division:
        """Quantise and cut; the components are in the pool afterwards."""
        request = model_divider_pb2.DivideRequest(plan=dumps(plan), model_profile=dumps(profile))
        with typed_errors("the ModelDivider"):
            return loads((await result_of(self._stub.Divide(request), progress)).division, Division)
