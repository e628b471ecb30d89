"""Answers that somebody waits for: a task that is told to end ends, whatever else happens."""

import asyncio

import pytest

from oneprice.shell.replies import bounded
from oneprice.venues.contract import Ack


async def test_a_task_told_to_end_ends_although_its_answer_comes_at_that_moment() -> None:
    waiting: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(bounded(waiting, "an answer"))
    await asyncio.sleep(0)
    waiting.set_result(Ack(socket="private", kind="login"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
