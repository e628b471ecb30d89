"""Replies: answers of a venue that somebody waits for, by name and never for ever."""

import asyncio

from oneprice.venues.contract import Ack

ACK_TIMEOUT_S = 5.0


class Replies:
    """Whoever asks expects an Ack under a name; whoever hears an Ack hands it over."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Ack]] = {}

    def expect(self, name: str) -> asyncio.Future[Ack]:
        """A later question under the same name takes the place of the one before."""
        future: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._waiting[name] = future
        future.add_done_callback(
            lambda done: self._waiting.pop(name) if self._waiting.get(name) is done else None
        )
        return future

    def hear(self, ack: Ack) -> None:
        """Hand an Ack to who waits for it; an unexpected one is nobody's."""
        names: tuple[str, ...] = (ack.kind,)
        if ack.kind in ("subscribe", "unsubscribe", "login"):
            names = (f"ack:{ack.request_id}", f"login:{ack.socket}")
        elif ack.kind == "key":
            names = (f"key:{ack.socket}",)
        for name in names:
            waiting = self._waiting.get(name)
            if waiting is not None:
                if not waiting.done():
                    waiting.set_result(ack)
                return


async def bounded(
    waiting: asyncio.Future[Ack], what: str, seconds: float = ACK_TIMEOUT_S
) -> Ack:
    """The answer, or TimeoutError naming what was asked."""
    # Nowhere in the shell `wait_for`: in Python 3.11 it may swallow a cancellation that meets the
    # answer (bpo-37658), and a task that was told to end would go on for ever.
    try:
        async with asyncio.timeout(seconds):
            return await waiting
    except TimeoutError:
        raise TimeoutError(f"no answer in {seconds} s: {what}") from None
