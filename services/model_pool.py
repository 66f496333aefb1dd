"""The ModelPool over gRPC: blobs in chunks, documents as texts."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import grpc

from core.document_store import DocumentStore
from core.errors import InternalError, InvalidArgumentError
from model_pool.store import BlobStore
from partita.v1 import model_pool_pb2, model_pool_pb2_grpc, types_pb2
from services.runtime.errors import Context, typed_errors
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.streams import CHUNK_BYTES, Assembly, ChunkSequence, chunks, verify

CALL_TIMEOUT_SECONDS = 10.0

BLOB_TIMEOUT_SECONDS = 1800.0
"""For a blob's transfer, which may be 2 GB over a slow link; keep-alive notices a dead peer much sooner."""

BLOB_LIMIT_BYTES = 2**32
"""Largest blob; models and tensors have lower limits where they come in."""


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
            await asyncio.to_thread(writer.discard)

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


class ModelPoolClient:
    """The ModelPool, wherever it runs; every method raises ServerUnavailableError where it cannot be reached."""

    def __init__(self, channel: grpc.aio.Channel, peer: str = "the ModelPool") -> None:
        self._stub = model_pool_pb2_grpc.ModelPoolStub(channel)
        self._peer = peer

    async def put_blob(self, data: bytes) -> str:
        """Store ``data`` and return its SHA-256; nothing is sent where it is stored already.

        Raises:
            TooLargeError: the pool does not take that much.
        """
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        if sha256 not in await self.has_blobs([sha256]):
            with typed_errors(self._peer):
                await self._stub.PutBlob(_put_requests(data, sha256), timeout=BLOB_TIMEOUT_SECONDS)
        return sha256

    async def get_blob(self, sha256: str) -> bytes:
        """Fetch a blob and verify it.

        Raises:
            NotFoundError: there is none.
            CorruptDataError: it was damaged in the pool or on its way.
        """
        blob: Assembly | None = None
        with typed_errors(self._peer):
            async for response in self._stub.GetBlob(
                model_pool_pb2.GetBlobRequest(sha256=sha256), timeout=BLOB_TIMEOUT_SECONDS
            ):
                if blob is None:
                    blob = Assembly(f"blob {sha256[:12]}", response.header.byte_count, BLOB_LIMIT_BYTES)
                else:
                    blob.add(response.chunk)
        if blob is None:
            raise InternalError(f"{self._peer} sent nothing for blob {sha256}")
        data = blob.finish().tobytes()
        await asyncio.to_thread(verify, data, sha256)
        return data

    async def has_blobs(self, sha256: Sequence[str]) -> frozenset[str]:
        """Which of the named blobs are stored."""
        with typed_errors(self._peer):
            request = model_pool_pb2.HasBlobsRequest(sha256=sha256)
            return frozenset((await self._stub.HasBlobs(request, timeout=CALL_TIMEOUT_SECONDS)).sha256)

    async def put_document(self, kind: str, key: str, document: str) -> None:
        """Keep a text; one already there under this kind and key is replaced."""
        with typed_errors(self._peer):
            request = model_pool_pb2.PutDocumentRequest(kind=kind, key=key, document=document)
            await self._stub.PutDocument(request, timeout=CALL_TIMEOUT_SECONDS)

    async def get_document(self, kind: str, key: str) -> str | None:
        """The text, or ``None`` where there is none."""
        with typed_errors(self._peer):
            request = model_pool_pb2.GetDocumentRequest(kind=kind, key=key)
            response = await self._stub.GetDocument(request, timeout=CALL_TIMEOUT_SECONDS)
        return response.document if response.HasField("document") else None


def _put_requests(data: bytes, sha256: str) -> Iterator[model_pool_pb2.PutBlobRequest]:
    yield model_pool_pb2.PutBlobRequest(header=model_pool_pb2.BlobHeader(byte_count=len(data), sha256=sha256))
    for chunk in chunks(data):
        yield model_pool_pb2.PutBlobRequest(chunk=chunk)


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
