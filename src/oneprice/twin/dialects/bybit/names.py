"""How this venue spells ids: UUIDs for derivatives, 19 digits for spot, and the way back."""

import hashlib

from oneprice.model.units import SECOND

SPOT_BASE = 2 * 10**18  # spot ids have 19 digits
SPOT_LINK = 5 * 10**17  # generated client ids lie this far above the order's own id


class Names:
    """Spells the exchange's growing numbers; `started_at` keeps runs of a twin apart."""

    def __init__(self, started_at: int) -> None:
        self._salt = started_at // SECOND

    def order(self, market: str, number: int) -> str:
        return str(SPOT_BASE + number) if market == "spot" else self._uuid("order", number)

    def order_number(self, market: str, text: str) -> int:
        """The number behind an order id; 0 where the id is not one of ours."""
        if market == "spot":
            number = int(text) - SPOT_BASE if text.isdecimal() else 0
            return number if 0 < number < SPOT_LINK else 0
        number = int(text[-12:], 16) if _is_hex(text[-12:]) else 0
        return number if number and self.order(market, number) == text.lower() else 0

    def generated_link(self, number: int) -> str:
        """The client id that a spot order gets when the customer gave none."""
        return str(SPOT_BASE + SPOT_LINK + number)

    def generated_link_number(self, text: str) -> int:
        number = int(text) - SPOT_BASE - SPOT_LINK if text.isdecimal() else 0
        return number if 0 < number < SPOT_LINK else 0

    def execution(self, market: str, number: int) -> str:
        return str(SPOT_BASE + number) if market == "spot" else self._uuid("fill", number)

    def trade(self, market: str, instrument: str, number: int) -> str:
        """The id of a public trade; trades are numbered per instrument."""
        if market == "spot":
            return str(SPOT_BASE + number)
        return self._uuid(f"trade:{instrument}", number)

    def trace(self, kind: str, number: int) -> str:
        """32 hex digits that name one request."""
        return self._digest(kind, number) + f"{number:012x}"

    def _uuid(self, kind: str, number: int) -> str:
        digest = self._digest(kind, number)
        return (
            f"{digest[:8]}-{digest[8:12]}-4{digest[12:15]}-8{digest[15:18]}-{number:012x}"
        )

    def _digest(self, kind: str, number: int) -> str:
        text = f"{self._salt}:{kind}:{number}".encode()
        return hashlib.blake2b(text, digest_size=10).hexdigest()


def _is_hex(text: str) -> bool:
    return bool(text) and all(letter in "0123456789abcdefABCDEF" for letter in text)
