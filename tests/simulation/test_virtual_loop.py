"""The loop of virtual time: it jumps, it keeps order, and it knows whose work is whose."""

import asyncio
import contextvars
import time

import aiohttp
import pytest
from aiohttp import web

from oneprice.app.world.loop import OWNER, Stalled, VirtualLoop, run_virtually
from oneprice.model.units import SECOND


def test_a_day_of_sleeping_takes_no_time() -> None:
    async def main(loop: VirtualLoop) -> float:
        await asyncio.sleep(86_400)
        return loop.time()

    began = time.monotonic()
    assert run_virtually(main) == 86_400
    assert time.monotonic() - began < 60


def test_timers_fire_in_order_and_at_their_moment() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[str, float]]:
        fired: list[tuple[str, float]] = []
        for name, delay in (("late", 0.3), ("early", 0.1), ("middle", 0.2)):
            loop.call_later(delay, lambda name=name: fired.append((name, loop.time())))
        await asyncio.sleep(1)
        return fired

    assert run_virtually(main) == [("early", 0.1), ("middle", 0.2), ("late", 0.3)]


def test_waiting_for_what_never_comes_is_told() -> None:
    async def main(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(Stalled):
        run_virtually(main)


def test_a_timeout_ends_in_virtual_time() -> None:
    async def main(loop: VirtualLoop) -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_future(), 2.5)
        return loop.time()

    assert run_virtually(main) == 2.5


def test_who_blocks_the_thread_makes_every_timer_late() -> None:
    async def main(loop: VirtualLoop) -> float:
        late: list[float] = []
        loop.call_later(0.1, lambda: late.append(loop.time()))
        loop.stall(SECOND)
        await asyncio.sleep(0.2)
        return late[0]

    assert run_virtually(main) == 1.0


def test_tasks_are_known_by_their_owner() -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        async def parent() -> None:
            asyncio.create_task(asyncio.sleep(10), name="child")  # noqa: RUF006
            await asyncio.sleep(10)

        context = contextvars.copy_context()
        context.run(OWNER.set, "somebody")
        context.run(asyncio.create_task, parent(), name="parent")
        asyncio.create_task(asyncio.sleep(10), name="ours")  # noqa: RUF006
        await asyncio.sleep(1)
        return [task.get_name() for task in loop.tasks_of("somebody")]

    assert run_virtually(main) == ["parent", "child"]


def test_a_real_web_server_and_client_talk_over_it() -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"hello {await request.text()} from {request.remote}")

    async def main(loop: VirtualLoop) -> tuple[str, float]:
        app = web.Application()
        app.router.add_post("/", hello)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "venue", 80).start()
        connector = aiohttp.UnixConnector("venue:80")
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post("http://venue/", data=b"x" * 300_000) as answer,
        ):
            text = await answer.text()
        took = loop.time()
        await runner.cleanup()
        return text, took

    text, took = run_virtually(main)
    assert text.startswith("hello xxx")
    assert text.endswith("from 10.0.0.1")
    assert 0 < took < 0.1
