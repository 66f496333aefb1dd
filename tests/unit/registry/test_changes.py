import asyncio

from registry.changes import Changes


async def test_a_watcher_sees_now_and_what_comes() -> None:
    changes = Changes()
    watch = changes.watch()
    first = await anext(watch)
    following = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not following.done()
    changes.notify()
    assert await following > first


async def test_a_slow_watcher_sees_several_changes_as_one() -> None:
    changes = Changes()
    watch = changes.watch()
    await anext(watch)
    changes.notify()
    changes.notify()
    await anext(watch)
    following = asyncio.ensure_future(anext(watch))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not following.done()
    following.cancel()


async def test_every_watcher_is_woken_and_closing_ends_all() -> None:
    changes = Changes()
    seen: list[list[int]] = [[], [], []]

    async def watch(versions: list[int]) -> None:
        versions.extend([version async for version in changes.watch()])

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for versions in seen:
            group.create_task(watch(versions))
        await asyncio.sleep(0)
        changes.notify()
        await asyncio.sleep(0)
        changes.close()
    assert seen == [[0, 1], [0, 1], [0, 1]]
