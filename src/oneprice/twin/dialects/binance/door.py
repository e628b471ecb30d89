"""The door of REST: limits, identity, signature, then the answer with the venue's headers."""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from oneprice.model.units import SECOND
from oneprice.twin.contract import AccountSpec, Clock, Exchange, Refusal
from oneprice.twin.dialects.binance import calls, denials
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied, Page
from oneprice.twin.dialects.binance.limits import Limits
from oneprice.twin.dialects.binance.table import Endpoint, Right

_ORDER_WORDS = ("/order", "/batchOrders", "order.place", "order.modify", "order.cancel")


class Door:
    """Admits calls from either transport; `lose_answer` makes accepted orders go unanswered."""

    def __init__(self, exchange: Exchange, clock: Clock, limits: dict[str, Limits]) -> None:
        self.exchange = exchange
        self.clock = clock
        self.limits = limits
        self._accounts: dict[str, AccountSpec] = {spec.key: spec for spec in exchange.accounts()}
        self._lost: list[tuple[str, str]] = []  # (product, unknown | silent)

    # Identity ----------------------------------------------------------------------------

    def known(self, key: str, address: str) -> AccountSpec:
        """The customer of a key; raises -2014 without one and -2015 for a wrong one (401)."""
        if not key:
            raise denials.key_format()
        spec = self._accounts.get(key)
        if spec is None or (spec.addresses and address not in spec.addresses):
            raise denials.key_unknown()
        return spec

    def admit(self, right: Right, call: Call, address: str, payload: str) -> None:
        """Checks what an endpoint asks of its caller and puts the key into the call."""
        if right is Right.NONE:
            return
        spec = self.known(call.key, address)
        call.account = spec.key
        if right is Right.KEY:
            return
        given = call.need("signature")
        call.need("timestamp")
        calls.check_signature(payload, given, spec.secret)
        calls.check_time(call)
        if right is Right.TRADE and spec.read_only:
            raise denials.key_unknown()

    # Answering ---------------------------------------------------------------------------

    def perform(self, endpoint: Endpoint, call: Call) -> Any:
        """The result; refusals of the exchange that nobody translated become the venue's."""
        try:
            return endpoint.answer(call)
        except Refusal as refusal:
            raise denials.translated(call.product, refusal.word) from None

    def lose_answer(self, product: str, count: int = 1, how: str = "unknown") -> None:
        """The next `count` order calls are carried out and answered with "nobody knows"
        (`unknown`: spot 408 with -1007, futures 503) or not at all (`silent`)."""
        if how not in ("unknown", "silent"):
            raise ValueError(f"how {how!r}: expected unknown or silent")
        self._lost += [(product, how)] * count

    def fate(self, product: str, name: str) -> str:
        """How the answer of this call is lost: empty, unknown or silent."""
        if name.startswith("GET") or not any(word in name for word in _ORDER_WORDS):
            return ""
        for index, (owner, how) in enumerate(self._lost):
            if owner == product:
                del self._lost[index]
                return how
        return ""

    async def rest(self, request: web.Request, product: str, endpoint: Endpoint) -> web.Response:
        """One REST call from headers to headers."""
        at = self.clock()
        address = request.remote or ""
        query = request.raw_path.partition("?")[2]
        # What is no text is read as far as it is: its signature cannot be right.
        body = (await request.read()).decode(errors="replace")
        call = Call(
            product=product,
            name=f"{request.method} {request.path}",
            params=calls.parse_form(body) | calls.parse_form(query),
            at=at,
            key=request.headers.get("X-MBX-APIKEY", ""),
        )
        limits = self.limits[product]
        try:
            self._charge(limits, endpoint, call, address)
            self.admit(endpoint.right, call, address, calls.rest_payload(query, body))
            result = self.perform(endpoint, call)
        except Denied as denied:
            return self._denied(denied, call, address)
        except Page as page:
            return web.Response(status=page.status, text=page.html, content_type="text/html")
        if endpoint.free:
            limits.forgive(address, endpoint.cost(call), at)
        match self.fate(product, call.name):
            case "unknown":
                return self._denied(denials.unknown_execution(product), call, address)
            case "silent":
                await self._vanish(request)
        headers = limits.weight_header(address, at)
        if endpoint.orders:
            headers |= limits.order_headers(call.key, at)
        return _json(result, 200, headers)

    def _charge(self, limits: Limits, endpoint: Endpoint, call: Call, address: str) -> None:
        if endpoint.funding:
            limits.charge_funding(address, call.at)
        else:
            limits.charge(address, endpoint.cost(call), call.at)

    def _denied(self, denied: Denied, call: Call, address: str) -> web.Response:
        headers = self.limits[call.product].weight_header(address, call.at)
        if denied.retry_at_ms:
            headers["Retry-After"] = str(retry_after_s(denied, call.at))
        return _json(denied.body(), denied.status, headers)

    async def _vanish(self, request: web.Request) -> None:
        """The connection dies and with it the answer."""
        if request.transport is not None:
            request.transport.abort()
        await asyncio.sleep(0)
        raise web.HTTPServiceUnavailable


def retry_after_s(denied: Denied, at: int) -> int:
    """Whole seconds to wait, never zero."""
    return max(1, -(-(denied.retry_at_ms * 1_000_000 - at) // SECOND))


def _json(body: Any, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        headers=headers,
        content_type="application/json",
    )
