"""A trader that is killed without a word at a chosen write to its journal.

    python -m oneprice.app.drills.doomed < ORDER

ORDER is an `Order` as JSON. The trader begins one hedge and dies by SIGKILL: no handler runs, and
nothing is flushed.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec

from oneprice.app.config import RunConfig
from oneprice.app.drills.hedge import Hedge
from oneprice.app.drills.trader import Trader
from oneprice.store.journal import JournalWriter
from oneprice.store.segments import linked, record


def doom(place: str, pattern: bytes, number: int = 1) -> None:
    """This process dies at the so-manieth write that contains the pattern."""
    append = JournalWriter.append
    left = [number]

    def doomed(self: JournalWriter, payload: bytes) -> None:
        left[0] -= pattern in payload
        if left[0] > 0:
            append(self, payload)
            return
        if place == "half":
            whole = record(linked(self._chain, payload), payload)
            os.write(self._file, whole[: len(whole) // 2])
        if place == "after":
            append(self, payload)
        os.kill(os.getpid(), signal.SIGKILL)

    JournalWriter.append = doomed  # type: ignore[method-assign]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the trader is to do."""

    config: RunConfig
    lots: dict[str, int]  # the pair: bought, sold
    session: str
    place: str  # before, half or after the write
    pattern: str  # what the record that it dies of contains


async def main(order: Order) -> None:
    bought, sold = order.lots
    hedge = Hedge((bought, sold))
    hedge.lots = dict(order.lots)
    trader = Trader(order.config, Path(order.session), hedge)
    await trader.start()
    await trader.trade()
    await trader.ended()
    await trader.finish()


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    doom(wanted.place, wanted.pattern.encode())
    asyncio.run(main(wanted))
