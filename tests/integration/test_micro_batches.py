"""Requests that servers compute together: each gets its own answer, over gRPC and sockets."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.profiles import RuntimeSettings
from core.tensors import Array
from inferencer.batching import for_many
from inferencer.session import Session
from partita.inference import infer
from partita.results import InferReport
from tests.integration.data_plane import data_plane
from tests.integration.test_request_life import busy, nothing_held
from tests.unit.models import random_inputs, residual_model
from tests.unit.plans import run


@pytest.fixture(autouse=True)
def always_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is quicker on this machine."""

    def session(data: bytes, inputs: Any, alone: Session, settings: RuntimeSettings, most: int) -> tuple[Session, int]:
        return Session(for_many(data), settings), most

    monkeypatch.setattr("inferencer.inferencer.session_for_many", session)


async def test_requests_that_wait_are_computed_together_and_answered_each_for_itself(tmp_path: Path) -> None:
    async with data_plane(residual_model(), ("device", "edge"), tmp_path, micro_batch=4) as plane:
        address = plane.version.front_end_address
        channel = plane.channels.to(address)
        requests = plane.inferencers["device"].requests
        inputs = [random_inputs(plane.model, seed) for seed in range(5)]
        calls: list[asyncio.Task[tuple[dict[str, Array], InferReport]]] = []
        with busy(plane.inferencers["device"]) as done:
            for count in (4, 5):
                calls += [
                    asyncio.create_task(infer(channel, address, "app", one, 30.0, alone=count == 5))
                    for one in inputs[len(calls) : count]
                ]
                while requests.held_bytes < count * inputs[0]["images"].nbytes:
                    await asyncio.sleep(0.01)
            done.set()
            answers = await asyncio.gather(*calls)
        assert [max(run.together for run in report.runs) for _, report in answers] == [4, 4, 4, 4, 1]
        for one, (outputs, _) in zip(inputs, answers, strict=True):
            for name, expected in run(plane.whole, one).items():
                np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-5)
        await nothing_held(plane)


async def test_a_cancelled_request_leaves_the_others_their_answers(tmp_path: Path) -> None:
    async with data_plane(residual_model(), ("device", "edge"), tmp_path, micro_batch=4) as plane:
        address = plane.version.front_end_address
        inputs = [random_inputs(plane.model, seed) for seed in range(3)]
        with busy(plane.inferencers["edge"]) as done:
            channel = plane.channels.to(address)
            calls = [asyncio.create_task(infer(channel, address, "app", one, 30.0)) for one in inputs]
            while len(plane.inferencers["edge"].requests) < len(calls):
                await asyncio.sleep(0.01)
            calls[1].cancel()
            while len(plane.inferencers["edge"].requests) == len(calls):
                await asyncio.sleep(0.01)
            done.set()
            for number in (0, 2):
                outputs, _ = await calls[number]
                expected = run(plane.whole, inputs[number])
                np.testing.assert_allclose(outputs["scores"], expected["scores"], rtol=1e-4, atol=1e-5)
        await nothing_held(plane)
