import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.transport.budget import ByteBudget


@given(st.lists(st.integers(0, 150), max_size=30), st.data())
def test_never_more_than_the_limit_and_everyone_in_turn(sizes: list[int], data: st.DataObject) -> None:
    async def run() -> None:
        budget = ByteBudget(100)
        held, order = 0, []

        async def hold(index: int, size: int) -> None:
            nonlocal held
            await budget.take(size)
            order.append(index)
            held += min(size, 100)
            assert held <= 100
            try:
                for _ in range(index % 3):
                    await asyncio.sleep(0)
            finally:
                held -= min(size, 100)
                budget.give_back(size)

        tasks = [asyncio.create_task(hold(index, size)) for index, size in enumerate(sizes)]
        gone = set(data.draw(st.lists(st.sampled_from(range(len(sizes))), unique=True))) if sizes else set()
        await asyncio.sleep(0)
        for index in gone:
            tasks[index].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == sorted(order)
        assert set(order) | gone == set(range(len(sizes)))
        await budget.take(100)

    asyncio.run(run())
