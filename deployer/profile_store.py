"""Profiles in the pool: under which keys they are kept, so that none is measured twice or mistaken for another."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from core.documents import dumps, encode, loads
from core.errors import InvalidDocumentError
from core.profiles import ExecutionProfile, ModelProfile, ModelProfilerSettings
from deployer.ports import ModelPool
from deployer.records import ModelRecord

logger = logging.getLogger(__name__)

FORMAT = "3"
"""Part of every key: raised when profilers measure in another way, so that older profiles are not used again."""

DEFAULT_TIMING = ModelProfilerSettings().timing

T = TypeVar("T")


@dataclass(frozen=True)
class _Times:
    """How long the phases of a profile took, in seconds."""

    phases: Mapping[str, float]


class ProfileStore:
    """Typed access to the pool's profiles. They survive restarts of everything but the pool's disk."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool

    async def model_profile(self, key: str) -> ModelProfile | None:
        """The model profile under a key of ``model_key``."""
        return await self._get("model-profile", key, ModelProfile)

    async def execution_profile(self, key: str) -> ExecutionProfile | None:
        """The execution profile under a key of ``execution_key``."""
        return await self._get("execution-profile", key, ExecutionProfile)

    async def phases(self, key: str) -> Mapping[str, float]:
        """Seconds of each phase that the profile under ``key`` took; empty where there is none."""
        times = await self._get("profiling-times", key, _Times)
        return times.phases if times else {}

    async def keep(self, key: str, profile: ModelProfile | ExecutionProfile, phases: Mapping[str, float]) -> None:
        """Keep or replace a profile, and how long its phases took."""
        kind = "model-profile" if isinstance(profile, ModelProfile) else "execution-profile"
        await self._pool.put_document("profiling-times", key, dumps(_Times(phases)))
        await self._pool.put_document(kind, key, dumps(profile))

    async def _get(self, kind: str, key: str, document_type: type[T]) -> T | None:
        text = await self._pool.get_document(kind, key)
        try:
            return None if text is None else loads(text, document_type)
        except InvalidDocumentError as error:
            # Kept by another version of Partita; measuring anew replaces it.
            logger.warning("the %s %s is of no use: %s", kind, key[:12], error)
            return None


def model_key(model: ModelRecord, settings: ModelProfilerSettings) -> str:
    """By the contents of model and calibration samples, and the profiler's settings but for how layers are timed."""
    return _key("model", model.hash, model.samples_hash, dumps(replace(settings, timing=DEFAULT_TIMING)))


def execution_key(model: ModelRecord, settings: ModelProfilerSettings, fingerprint: str) -> str:
    """By the content of the model, what says which layers become int8 and how, and the server's fingerprint.

    Settings of the noise model alone do not count: they change no layer's time.
    """
    counted = {name: value for name, value in encode(settings).items() if not name.startswith("noise")}
    return _key("execution", model.hash, json.dumps(counted, sort_keys=True), fingerprint)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join((FORMAT, *parts)).encode()).hexdigest()
