"""The FrontEnd in the field's own protocol: Open Inference Protocol 2, as the clients of Triton and KServe speak it."""

from collections.abc import Mapping

from core.deployment import DeploymentVersion
from core.errors import NotFoundError
from core.tensors import Array
from core.version import partita_version
from frontend.front_end import FrontEnd
from partita.v1 import open_inference_pb2, open_inference_pb2_grpc
from services.open_inference_convert import check_wanted, from_outputs, from_spec, to_arrays
from services.runtime.handlers import Context
from services.runtime.metrics import REQUESTS
from services.runtime.server import Binding
from services.runtime.tracing import request_span

PLATFORM = "onnxruntime_onnx"
"""What runs the models, in Triton's words."""


class OpenInferenceServicer(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Converts and calls: a deployment is a model, and its version the model's."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end

    async def ServerLive(
        self, request: open_inference_pb2.ServerLiveRequest, context: Context
    ) -> open_inference_pb2.ServerLiveResponse:
        return open_inference_pb2.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: open_inference_pb2.ServerReadyRequest, context: Context
    ) -> open_inference_pb2.ServerReadyResponse:
        return open_inference_pb2.ServerReadyResponse(ready=True)

    async def ModelReady(
        self, request: open_inference_pb2.ModelReadyRequest, context: Context
    ) -> open_inference_pb2.ModelReadyResponse:
        version = self._front_end.deployments.get(request.name)
        ready = version is not None and request.version in ("", str(version.version))
        return open_inference_pb2.ModelReadyResponse(ready=ready)

    async def ServerMetadata(
        self, request: open_inference_pb2.ServerMetadataRequest, context: Context
    ) -> open_inference_pb2.ServerMetadataResponse:
        return open_inference_pb2.ServerMetadataResponse(name="partita", version=partita_version())

    async def ModelMetadata(
        self, request: open_inference_pb2.ModelMetadataRequest, context: Context
    ) -> open_inference_pb2.ModelMetadataResponse:
        version = self._version(request.name, request.version)
        return open_inference_pb2.ModelMetadataResponse(
            name=request.name,
            versions=[str(version.version)],
            platform=PLATFORM,
            inputs=map(from_spec, version.division.inputs),
            outputs=map(from_spec, version.division.outputs),
        )

    async def ModelInfer(
        self, request: open_inference_pb2.ModelInferRequest, context: Context
    ) -> open_inference_pb2.ModelInferResponse:
        version = self._version(request.model_name, request.model_version)
        wanted = [output.name for output in request.outputs]
        check_wanted(version, wanted)
        inputs = to_arrays(request)

        async def read() -> Mapping[str, Array]:
            return inputs

        # The protocol's request id only labels a request, and may come twice with other inputs: ours may not.
        with request_span(context, version.deployment) as span:
            answer = await self._front_end.infer(version.deployment, read, context.time_remaining())
            span.set_attribute("partita.request", answer.key.request_id)
        REQUESTS.labels(version.deployment).observe(answer.seconds)
        outputs, contents = from_outputs(answer.outputs, wanted)
        return open_inference_pb2.ModelInferResponse(
            model_name=request.model_name,
            model_version=str(answer.key.version),
            id=request.id,
            outputs=outputs,
            raw_output_contents=contents,
        )

    def _version(self, deployment: str, version: str) -> DeploymentVersion:
        current = self._front_end.current(deployment)
        if version not in ("", str(current.version)):
            raise NotFoundError(
                f"version {version} of {deployment!r} is not in force, version {current.version} is; ask for that one"
            )
        return current


def attach_open_inference(front_end: FrontEnd, binding: Binding) -> None:
    """Answer the protocol's calls too, on the server that has the FrontEnd."""
    open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(OpenInferenceServicer(front_end), binding.server)
    binding.names.append(open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name)
