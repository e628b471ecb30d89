"""What the venue itself says of its allowances: exchangeInfo, and answers of its WebSocket API.

USD-M and COIN-M share one allowance (since 2026-06-30); where they state different counts the
smaller one holds.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Raw

from oneprice.venues.binance.facts import SPEC
from oneprice.venues.binance.numbers import UNREADABLE
from oneprice.venues.contract import Ack, Limit

_UNIT_MS = {"SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}
_KINDS = {"REQUEST_WEIGHT": "weight", "ORDERS": "orders"}


class RateLimit(msgspec.Struct):
    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int


_limit = msgspec.json.Decoder(RateLimit)


class Allowances:
    """The counts in force; an Ack tells each that changes."""

    def __init__(self) -> None:
        self._limits = {limit.bucket: limit for limit in SPEC.limits}
        self._stated: dict[tuple[str, str], int] = {}  # (bucket, market) -> count

    def stated(self, market: str, rows: Iterable[Raw]) -> list[Ack]:
        """What `market` says; rows of kinds that we do not pace by are passed over."""
        acks: list[Ack] = []
        for raw in rows:
            try:
                row = _limit.decode(raw)
            except UNREADABLE:
                continue
            known = self._bucket(market, row)
            if known is None or row.limit <= 0:
                continue
            self._stated[known.bucket, market] = row.limit
            count = min(n for (name, _), n in self._stated.items() if name == known.bucket)
            if count != known.count:
                limit = msgspec.structs.replace(known, count=count)
                self._limits[known.bucket] = limit
                acks.append(Ack(socket="", kind="limit", bucket=limit.bucket, limit=limit))
        return acks

    def _bucket(self, market: str, row: RateLimit) -> Limit | None:
        product = "spot" if market == "spot" else "futures"
        kind = _KINDS.get(row.rateLimitType)
        per_ms = _UNIT_MS.get(row.interval, 0) * row.intervalNum
        for limit in self._limits.values():
            if kind and limit.bucket.startswith(f"{product}_{kind}") and limit.per_ms == per_ms:
                return limit
        return None
