"""A plan in force, to which requests go."""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.errors import InvalidTensorError, PartitaError, ServerUnavailableError
from core.tensors import Array, check_inputs
from partita.results import DeploymentInfo, InferReport
from partita.uploads import checked_arrays

if TYPE_CHECKING:
    from partita.aio.client import Client

INFER_SECONDS = 60.0
"""Default timeout of a request."""


class Deployment:
    """A plan in force, ready for requests; ``info`` says what it is."""

    def __init__(self, client: "Client", info: DeploymentInfo) -> None:
        self._client = client
        self.info = info

    @property
    def name(self) -> str:
        """Under which requests come in."""
        return self.info.name

    async def infer(
        self,
        inputs: Mapping[str, Array],
        timeout_seconds: float = INFER_SECONDS,
        request_id: str = "",
        *,
        alone: bool = False,
    ) -> dict[str, Array]:
        """Run the model once.

        Args:
            inputs: input name → array of exactly the model's dtype and shape (``info.inputs``).
            request_id: names the request, if it may be sent again: while it is under way, a second call with its id
                gets the first one's answer, whatever its inputs. After its end the id may be used anew.
            alone: have it computed by itself, where the deployment has micro-batches: its values are then exactly those
                of the same request at any other time.

        Returns:
            Output name → array.

        Raises:
            InvalidTensorError: an input's name, dtype or shape is not what the model takes.
            DeadlineExceededError: no answer within ``timeout_seconds``.
            BusyError: too many requests wait; its ``retry_after_seconds`` says when to try again.
            ServerUnavailableError: a server of the plan is gone; the message names it.
            PartitaError: why the request failed.
        """
        return (await self.infer_with_report(inputs, timeout_seconds, request_id, alone=alone))[0]

    async def infer_with_report(
        self,
        inputs: Mapping[str, Array],
        timeout_seconds: float = INFER_SECONDS,
        request_id: str = "",
        *,
        alone: bool = False,
    ) -> tuple[dict[str, Array], InferReport]:
        """Like ``infer``, and how long each component took."""
        arrays = checked_arrays(inputs)
        try:
            check_inputs(self.info.inputs, arrays)
        except InvalidTensorError:
            # The name may stand for another model by now; what the Deployer says last counts.
            self.info = await self._client.deployment_info(self.name)
            check_inputs(self.info.inputs, arrays)
        end = time.monotonic() + timeout_seconds
        try:
            return await self._client.infer(self.info, arrays, timeout_seconds, request_id, alone)
        except ServerUnavailableError:
            if not await self._has_moved(end):
                raise
        return await self._client.infer(self.info, arrays, end - time.monotonic(), request_id, alone)

    async def _has_moved(self, end: float) -> bool:
        """Ask the Deployer, until ``end``, whether the FrontEnd was started anew at another address."""
        before = self.info.front_end_address
        try:
            async with asyncio.timeout(end - time.monotonic()):
                self.info = await self._client.deployment_info(self.name)
        except (PartitaError, TimeoutError):
            return False
        return self.info.front_end_address != before and time.monotonic() < end

    async def undeploy(self) -> None:
        """End the deployment once its requests have ended."""
        await self._client.undeploy(self.name)

    async def whole_model(self) -> bytes:
        """The quantised, undivided model, as an ONNX file's bytes, for comparison."""
        return await self._client.whole_model(self.name)
