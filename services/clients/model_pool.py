"""Calls the ModelPool."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence

import grpc

from core.errors import InternalError
from partita.v1 import model_pool_pb2, model_pool_pb2_grpc
from services.runtime.calls import reading
from services.runtime.errors import typed_errors
from services.runtime.streams import BLOB_LIMIT_BYTES, Assembly, chunks, verify

CALL_TIMEOUT_SECONDS = 10.0

BLOB_TIMEOUT_SECONDS = 1800.0
"""For a blob's transfer, which may be 2 GB over a slow link; keep-alive notices a dead peer much sooner."""


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
        request = model_pool_pb2.GetBlobRequest(sha256=sha256)
        with typed_errors(self._peer), reading(self._stub.GetBlob(request, timeout=BLOB_TIMEOUT_SECONDS)) as call:
            async for response in call:
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
