"""Waiting for the first of several things, and being cancelled, without losing a task or a cancellation."""

import asyncio
from collections.abc import Coroutine


def honour_cancellation() -> None:
    """Raise if this task was cancelled while a library worked for it.

    `asyncio.wait_for`, which libraries use, loses a cancellation that comes together with the result before
    Python 3.12 (gh-86296); without this, the one who cancelled would wait for such a task for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def until_first(*awaited: Coroutine[object, object, object]) -> None:
    """Run coroutines until the first one ends, then cancel the others; leaves no task behind.

    Raises
    ------
    BaseException
        What the first one raised.
    """
    tasks = [asyncio.create_task(each) for each in awaited]
    try:
        finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            task.result()
    finally:
        await end_all(tasks)


async def end_all(tasks: "list[asyncio.Task[object]] | list[asyncio.Task[None]]") -> None:
    """Cancel tasks and wait until all have ended; what they raise is theirs."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
