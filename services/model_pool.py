"""The ModelPool over gRPC: blobs in chunks, documents as texts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from core.blob_store import BlobStore
from core.document_store import DocumentStore
from core.errors import InvalidArgumentError
from partita.v1 import model_pool_pb2, model_pool_pb2_grpc, types_pb2
from services.runtime.handlers import Context
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.streams import BLOB_LIMIT_BYTES, CHUNK_BYTES, ChunkSequence


class ModelPoolServicer(model_pool_pb2_grpc.ModelPoolServicer):
    """Converts and calls; the disk is used from threads."""

    def __init__(self, blobs: BlobStore, documents: DocumentStore) -> None:
        self._blobs = blobs
        self._documents = documents

    async def PutBlob(
        self, request_iterator: AsyncIterator[model_pool_pb2.PutBlobRequest], context: Context
    ) -> model_pool_pb2.PutBlobResponse:
        sequence: ChunkSequence | None = None
        sha256 = ""
        # Not in a thread: the call may be cancelled at every await, and what is open must be known by then.
        writer = self._blobs.begin()
        try:
            async for request in request_iterator:
                if request.HasField("header") == (sequence is not None):
                    raise InvalidArgumentError("a PutBlob call is one header and then the chunks of one blob")
                if sequence is None:
                    sha256 = request.header.sha256
                    sequence = ChunkSequence(f"blob {sha256[:12]}", request.header.byte_count, BLOB_LIMIT_BYTES)
                else:
                    sequence.add(request.chunk)
                    await asyncio.to_thread(writer.write, request.chunk.data)
            if sequence is None:
                raise InvalidArgumentError("a PutBlob call begins with a header")
            sequence.check_complete()
            return model_pool_pb2.PutBlobResponse(sha256=await asyncio.to_thread(writer.commit, sha256))
        finally:
            # Not in a thread either: a cancelled call does not wait for one, and may end before it began.
            writer.discard()

    async def GetBlob(
        self, request: model_pool_pb2.GetBlobRequest, context: Context
    ) -> AsyncGenerator[model_pool_pb2.GetBlobResponse]:
        byte_count = self._blobs.size(request.sha256)
        yield model_pool_pb2.GetBlobResponse(
            header=model_pool_pb2.BlobHeader(byte_count=byte_count, sha256=request.sha256)
        )
        pieces = self._blobs.read(request.sha256, CHUNK_BYTES)
        offset = 0
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield model_pool_pb2.GetBlobResponse(chunk=types_pb2.Chunk(offset=offset, data=piece))
            offset += len(piece)

    async def HasBlobs(
        self, request: model_pool_pb2.HasBlobsRequest, context: Context
    ) -> model_pool_pb2.HasBlobsResponse:
        return model_pool_pb2.HasBlobsResponse(sha256=filter(self._blobs.has, request.sha256))

    async def PutDocument(
        self, request: model_pool_pb2.PutDocumentRequest, context: Context
    ) -> model_pool_pb2.PutDocumentResponse:
        await asyncio.to_thread(self._documents.put, request.kind, request.key, request.document)
        return model_pool_pb2.PutDocumentResponse()

    async def GetDocument(
        self, request: model_pool_pb2.GetDocumentRequest, context: Context
    ) -> model_pool_pb2.GetDocumentResponse:
        return model_pool_pb2.GetDocumentResponse(document=self._documents.get(request.kind, request.key))


def model_pool_service(settings: Settings) -> Service:
    """The ModelPool, in ``settings.data_directory``."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        blobs = BlobStore(settings.data_directory / "blobs")
        with DocumentStore(settings.data_directory / "model_pool.sqlite") as documents:
            servicer = ModelPoolServicer(blobs, documents)
            model_pool_pb2_grpc.add_ModelPoolServicer_to_server(servicer, binding.server)
            binding.names.append(model_pool_pb2.DESCRIPTOR.services_by_name["ModelPool"].full_name)
            yield

    return service
