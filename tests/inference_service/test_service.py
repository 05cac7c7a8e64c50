"""What the service does beside answering."""

import asyncio

from inference_service.service import end_tasks


async def test_a_task_that_loses_its_cancellation_still_ends() -> None:
    """As a task does that waits for Redis when the answer and the cancellation come at once."""
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost == 2:
                    raise
                lost += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end_tasks([task])
    assert task.cancelled()
    assert lost == 2
