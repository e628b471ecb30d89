"""python-okx, the venue's own client, as the test modules hold it, and what its sockets bring."""

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from okx import Account, Funding, MarketData, PublicData, Trade

SWAP, SPOT, CODE = "BTC-USDT-SWAP", "BTC-USDT", 10459
T = TypeVar("T")
_numbers = iter(range(1, 10_000))


def link() -> str:
    return f"off{next(_numbers)}"


class Clients:
    """One of each API object of the client, pointed at the twin."""

    def __init__(self, rest: str, keys: tuple[str, str, str]) -> None:
        live = {"flag": "0", "domain": rest}
        self.trade = Trade.TradeAPI(*keys, **live)
        self.account = Account.AccountAPI(*keys, **live)
        self.funding = Funding.FundingAPI(*keys, **live)
        self.public = PublicData.PublicAPI(**live)
        self.market = MarketData.MarketAPI(**live)

    def below(self, factor: str = "0.99", inst: str = SWAP) -> str:
        bid = Decimal(rows(self.market.get_ticker(inst))[0]["bidPx"])
        return str((bid * Decimal(factor)).quantize(Decimal("0.1")))

    def place(self, **fields: Any) -> dict[str, Any]:
        usual = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "limit", "sz": "1"}
        answer: dict[str, Any] = self.trade.place_order(**(usual | fields))["data"][0]
        return answer

    def fills(self, inst: str, *orders: str) -> list[dict[str, Any]]:
        found = rows(self.trade.get_fills(instId=inst))
        return [row for row in found if row["ordId"] in orders]

    def cash(self, *coins: str) -> dict[str, Decimal]:
        details = rows(self.account.get_account_balance(",".join(coins)))[0]["details"]
        return {row["ccy"]: Decimal(row["cashBal"]) for row in details}


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    assert answer["code"] == "0", answer
    found: list[dict[str, Any]] = answer["data"]
    return found


class Heard:
    """What a socket brought, as JSON."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def __call__(self, text: str) -> None:
        self.messages.append(json.loads(text))

    async def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for message in self.messages:
                if wanted(message):
                    return message
            await asyncio.sleep(0.01)
        raise AssertionError(f"not among {len(self.messages)} messages")

    def rows(self, channel: str, **wanted: str) -> list[dict[str, Any]]:
        """Every row a channel brought so far that has these fields."""
        return [
            row
            for one in self.messages
            if one.get("arg", {}).get("channel") == channel
            for row in one.get("data", ())
            if wanted.items() <= row.items()
        ]

    async def until(self, condition: Callable[[], T], what: str) -> T:
        """The first true value of a condition about what came."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if found := condition():
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"waited for {what}, {len(self.messages)} messages came")
