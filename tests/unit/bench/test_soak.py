"""What the soak counts, and that its proxy cuts."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from bench.soak.memory import LEAST_SAMPLES, growth_bytes_per_hour
from bench.soak.model import Item, equal, items, model
from bench.soak.proxy import Proxy
from bench.soak.requests import Endings, call_on
from bench.soak.run import SoakResult
from core.errors import BusyError
from core.tensors import Array

ITEM = Item({"x": np.zeros(2, np.float32)}, {"y": np.array([1, 2], np.float32)})


async def test_each_ending_is_counted_as_what_it_is() -> None:
    endings = Endings()
    later = iter(["answer", "wrong", "typed", "untyped", "hangs", "answer"])
    done = asyncio.Event()

    async def infer(inputs: Mapping[str, Array], seconds: float) -> Mapping[str, Array]:
        match next(later, "end"):
            case "answer":
                return ITEM.outputs
            case "wrong":
                return {"y": np.array([1, 3], np.float32)}
            case "typed":
                raise BusyError("full")
            case "untyped":
                raise KeyError("oops")
            case "end":
                done.set()
        await asyncio.Event().wait()
        raise AssertionError

    caller = asyncio.create_task(call_on(infer, [ITEM], 0, endings, 0.0, 0.01))
    await done.wait()
    caller.cancel()
    await asyncio.wait([caller])
    assert (endings.answers, endings.wrong, endings.unanswered) == (2, 1, 1)
    assert endings.typed_errors == {"BusyError": 1}
    assert list(endings.untyped_errors) == ["KeyError: 'oops'"]
    assert endings.requests == 6
    result = SoakResult(Counter(), endings, None, {}, {"edge": 1.0})
    assert len(result.complaints()) == 5
    assert SoakResult(Counter(), Endings(answers=1), 0.0, {}, {}).complaints() == []


@pytest.mark.parametrize(
    "answer", [{}, {"y": np.array([1, 2.1], np.float32)}, {"y": np.zeros(3, np.float32)}, {"z": ITEM.outputs["y"]}]
)
def test_answers_that_differ_are_wrong(answer: dict[str, Array]) -> None:
    assert equal(ITEM.outputs, ITEM.outputs)
    assert not equal(answer, ITEM.outputs)


def test_the_model_answers_differently_to_each_input() -> None:
    first, second = items(model(), 2)
    assert not equal(first.outputs, second.outputs)


def test_growth_is_the_slope_and_not_a_single_step() -> None:
    times = range(LEAST_SAMPLES * 2)
    steady = [(float(second), 1000) for second in times]
    growing = [(float(second), 1000 + 2 * second) for second in times]
    step = [(float(second), 1000 + (5000 if second > 3 else 0)) for second in times]
    samples = {("a", 1): steady, ("b", 2): growing, ("c", 3): step, ("d", 4): growing[:3]}
    assert growth_bytes_per_hour(samples) == {"a": 0, "b": 7200, "c": 0}
    # Two lives of a process are not two processes.
    assert growth_bytes_per_hour({("b", 2): growing, ("b", 3): growing}) == {"b": 7200}


async def test_the_proxy_passes_on_and_cuts_where_it_is_told() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = await Proxy().open()
    proxy.target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    host, _, port = proxy.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"x" * 5000)
    assert await reader.readexactly(5000) == b"x" * 5000
    proxy.cut_after(300)
    writer.write(b"y" * 1000)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1000)
    writer.close()
    # Nobody there: reset, not left hanging.
    proxy.target = ""
    reader, writer = await asyncio.open_connection(host, int(port))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    await proxy.close()
    server.close()
    await server.wait_closed()
