"""Request weights, order counts and bans, by windows of the calendar."""

from collections.abc import Sequence
from typing import NoReturn

import msgspec

from oneprice.model.units import MINUTE, SECOND
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.rates import Allowance, CalendarWindow

DAY = 1440 * MINUTE
_SPAN = {10 * SECOND: ("10S", "SECOND", 10), MINUTE: ("1M", "MINUTE", 1), DAY: ("1D", "DAY", 1)}


class OrderRule(msgspec.Struct, frozen=True):
    """At most `limit` orders in each calendar window of `span` nanoseconds."""

    span: int
    limit: int


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The published limits of one host family; settings, because the venue changes them.

    `ban_after` refused requests in one minute turn 429 into 418 for `ban_ns`.
    """

    weight: int
    orders: tuple[OrderRule, ...]
    raw: int = 0  # RAW_REQUESTS per 5 minutes, 0: not published
    funding: int = 0  # questions about funding per address in 5 minutes, of their own; 0: none
    ban_after: int = 20
    ban_ns: int = 2 * MINUTE


# Samples of the documents; the live values are per account (protocol document, section 3.3).
SPOT = Rules(
    weight=6_000, orders=(OrderRule(10 * SECOND, 50), OrderRule(DAY, 160_000)), raw=300_000
)
FUTURES = Rules(
    weight=2_400, orders=(OrderRule(10 * SECOND, 300), OrderRule(MINUTE, 1_200)), funding=500
)


class Limits:
    """Counters of one host family: weight per address, orders per account."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._weight = CalendarWindow(rules.weight, MINUTE)
        self._funding = CalendarWindow(rules.funding, 5 * MINUTE)
        self._refused = CalendarWindow(rules.ban_after, MINUTE)
        self._banned: dict[str, int] = {}
        self._orders = tuple(CalendarWindow(rule.limit, rule.span) for rule in rules.orders)

    def charge(self, address: str, weight: int, at: int) -> None:
        """Count a request; raises 429 when the minute is used up and 418 while banned."""
        until = self._banned.get(address, 0)
        if at < until:
            raise banned(until)
        allowance = self._weight.take(address, at, weight, force=True)
        if not allowance.granted:
            self._refuse(
                address, at, f"{self.rules.weight} request weight per 1 MINUTE", allowance
            )

    def charge_funding(self, address: str, at: int) -> None:
        """Count a question about funding, which weighs nothing; raises as `charge` does."""
        self.charge(address, 0, at)
        allowance = self._funding.take(address, at)
        if not allowance.granted:
            self._refuse(address, at, f"{self.rules.funding} requests per 5 MINUTE", allowance)

    def _refuse(self, address: str, at: int, limit: str, allowance: Allowance) -> NoReturn:
        if not self._refused.take(address, at).granted:
            self._banned[address] = at + self.rules.ban_ns
            raise banned(at + self.rules.ban_ns)
        raise Denied(
            -1003,
            f"Too much request weight used; current limit is {limit}. Please use WebSocket "
            "Streams for live updates to avoid polling the API.",
            status=429,
            retry_at_ms=allowance.resets_at // 1_000_000,
        )

    def forgive(self, address: str, weight: int, at: int) -> None:
        """Take back the weight of a request that turned out to be free."""
        self._weight.give_back(address, at, weight)

    def ban(self, address: str, until: int) -> None:
        """Refuse everything from an address with 418 until a moment (fault hook)."""
        self._banned[address] = until

    def used(self, address: str, at: int) -> int:
        return self._weight.take(address, at, 0).used

    def check_orders(self, account: str, at: int, more: int = 1) -> None:
        """Raises 429 with -1015 where one more order would be too many."""
        self._check(account, at, [more] * len(self._orders))

    def take_batch(self, account: str, at: int, number: int) -> None:
        """Count a batch of futures: its orders in 10 seconds, one request in the minute.

        Raises as `check_orders` does.
        """
        amounts = [number if rule.span < MINUTE else 1 for rule in self.rules.orders]
        self._check(account, at, amounts)
        for window, amount in zip(self._orders, amounts, strict=True):
            window.take(account, at, amount, force=True)

    def _check(self, account: str, at: int, amounts: Sequence[int]) -> None:
        for rule, window, more in zip(self.rules.orders, self._orders, amounts, strict=True):
            allowance = window.take(account, at, 0)
            if allowance.used + more > rule.limit:
                _, word, number = _SPAN[rule.span]
                raise Denied(
                    -1015,
                    f"Too many new orders; current limit is {rule.limit} orders per "
                    f"{number} {word}.",
                    status=429,
                    retry_at_ms=allowance.resets_at // 1_000_000,
                )

    def count_orders(self, account: str, at: int, number: int = 1) -> None:
        """Count accepted orders against every window."""
        for window in self._orders:
            window.take(account, at, number, force=True)

    def free_orders(self, account: str, at: int, number: int = 1) -> None:
        """Give slots back: spot counts unfilled orders, and this one has met a fill."""
        for window in self._orders:
            window.give_back(account, at, number)

    def weight_header(self, address: str, at: int) -> dict[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(self.used(address, at))}

    def order_headers(self, account: str, at: int) -> dict[str, str]:
        return {
            f"X-MBX-ORDER-COUNT-{_SPAN[rule.span][0]}": str(window.take(account, at, 0).used)
            for rule, window in zip(self.rules.orders, self._orders, strict=True)
        }

    def published(self) -> list[dict[str, object]]:
        """The `rateLimits` list of exchangeInfo."""
        rows: list[dict[str, object]] = [_row("REQUEST_WEIGHT", MINUTE, self.rules.weight)]
        rows += [_row("ORDERS", rule.span, rule.limit) for rule in self.rules.orders]
        if self.rules.raw:
            rows.append(
                {
                    "rateLimitType": "RAW_REQUESTS",
                    "interval": "MINUTE",
                    "intervalNum": 5,
                    "limit": self.rules.raw,
                }
            )
        return rows

    def counted(self, address: str, account: str, at: int) -> list[dict[str, object]]:
        """The `rateLimits` list of a WebSocket API answer, with counts."""
        return [
            *self.order_counts(account, at),
            _row("REQUEST_WEIGHT", MINUTE, self.rules.weight) | {"count": self.used(address, at)},
        ]

    def order_counts(self, account: str, at: int) -> list[dict[str, object]]:
        if not account:
            return []
        return [
            _row("ORDERS", rule.span, rule.limit) | {"count": window.take(account, at, 0).used}
            for rule, window in zip(self.rules.orders, self._orders, strict=True)
        ]


def banned(until: int) -> Denied:
    until_ms = until // 1_000_000
    return Denied(
        -1003,
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans.",
        status=418,
        retry_at_ms=until_ms,
    )


def _row(kind: str, span: int, limit: int) -> dict[str, object]:
    _, word, number = _SPAN[span]
    return {"rateLimitType": kind, "interval": word, "intervalNum": number, "limit": limit}
