"""How many instruments a gateway carries, and how it comes back from a mass disconnect.

    python benchmarks/discipline.py [--instruments 300] [--venues bybit,okx]

A table: connections, seconds to all books, seconds to all books after every connection was cut,
and the most that was said on one connection and connected in a window, against what the venue
allows. Twin and gateway share one process, so the seconds hold the twin's work, too.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import pytest
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "app"))
from crowd import Crowd

# market, (messages, seconds) on one connection, (connects, seconds), bucket of what data weighs
ALLOWED = {
    "bybit": ("linear", (500, 5), (500, 300), "ip"),
    "binance": ("usdm", (10, 1), (300, 300), "futures_weight"),
    "okx": ("swap", (480, 3600), (3, 1), "instruments"),
    "kucoin": ("futures", (100, 10), (30, 60), "public"),
}
PATIENCE_S = 600.0


async def measure(venue: str, count: int) -> str:
    """One row."""
    market, (messages, per_s), (connects, each_s), bucket = ALLOWED[venue]
    crowd = Crowd(venue, {market: count})
    with pytest.MonkeyPatch.context() as patch:
        await crowd.start(patch)
        first = await crowd.settle(PATIENCE_S)
        crowd.cut_all()
        began = time.monotonic()
        await crowd.until(lambda: not crowd.gateway.settled, 5)
        await crowd.until(lambda: crowd.gateway.settled, PATIENCE_S)
        again = time.monotonic() - began
        watchman, pacer = crowd.watchman, crowd.gateway.outbox.pacer
        limit = pacer.limit(bucket)
        used = pacer.used(bucket, crowd.clock.now())
        row = (
            f"{venue:<9}{count:>6}{len(crowd.gateway.lines):>6}{first:>9.1f}{again:>9.1f}"
            f"{watchman.busiest(per_s):>8}/{messages:<5}"
            f"{watchman.connected(each_s):>6}/{connects:<5}"
            f"{used:>7}/{limit.count if limit else 0:<6}{sum(crowd.desk.rejected.values()):>6}"
        )
        await crowd.close()
    return row


def main() -> None:
    """Print the table, a row as soon as it is known."""
    options = argparse.ArgumentParser(description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--instruments", type=int, default=300)
    options.add_argument("--venues", default=",".join(ALLOWED))
    chosen = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print("venue     books lines books s  again s  messages    connects      weight    refused")
    for venue in chosen.venues.split(","):
        print(asyncio.run(measure(venue, chosen.instruments)), flush=True)


if __name__ == "__main__":
    main()
