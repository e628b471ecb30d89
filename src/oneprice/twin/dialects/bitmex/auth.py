"""Who is asking: keys, expiry and hex signatures of REST requests and of /realtime."""

import hashlib
import hmac
from collections.abc import Callable, Mapping

from oneprice.model.units import SECOND
from oneprice.twin.contract import AccountSpec
from oneprice.twin.dialects.bitmex.envelope import Failure

Find = Callable[[str], AccountSpec | None]


def signature(secret: str, verb: str, path: str, stamp: str, body: bytes = b"") -> str:
    """Hex HMAC-SHA256 over verb, path with query as sent, stamp and body (section 3.1)."""
    text = f"{verb}{path}{stamp}".encode() + body
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


class Credentials:
    """Checks requests against the accounts; remembers the last nonce of each key."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._nonces: dict[str, int] = {}
        self.disabled: dict[str, None] = {}  # keys that were switched off

    def check(
        self, sent: Mapping[str, str], verb: str, path: str, body: bytes, at: int
    ) -> AccountSpec:
        """The account of `api-key`, `api-expires`, `api-signature`; Failure 400, 401.

        `api-nonce` instead of `api-expires` is the way of clients from before 2018: a number
        that must rise.
        """
        account = self._known(sent.get("api-key", ""))
        expires, nonce = sent.get("api-expires", ""), sent.get("api-nonce", "")
        if not expires and nonce:
            self._check_nonce(account.key, nonce)
        else:
            _check_expiry(expires, at)
        given = sent.get("api-signature", "")
        wanted = signature(account.secret, verb, path, expires or nonce, body)
        if not hmac.compare_digest(wanted.encode(), given.lower().encode()):
            raise Failure(401, "Signature not valid.")
        return account

    def login(self, arguments: object, at: int) -> AccountSpec:
        """The account of `authKeyExpires` with `[key, expires, signature]`; Failure as above."""
        if not isinstance(arguments, list) or len(arguments) < 3:
            raise Failure(400, "authKeyExpires takes three arguments: key, expires, signature")
        key, expires, given = (str(part) for part in arguments[:3])
        fields = {"api-key": key, "api-expires": expires, "api-signature": given}
        return self.check(fields, "GET", "/realtime", b"", at)

    def number_of(self, key: str) -> int:
        """The account number of a key that was let in, 0 where it is none."""
        account = self._find(key)
        return account.uid if account else 0

    def _known(self, key: str) -> AccountSpec:
        account = self._find(key) if key else None
        if account is None:
            raise Failure(401, "Invalid API Key.")
        if key in self.disabled:
            raise Failure(401, "This key is disabled.")
        return account

    def _check_nonce(self, key: str, nonce: str) -> None:
        if not nonce.isdecimal():
            raise Failure(401, "Nonce is invalid.")
        if int(nonce) <= self._nonces.get(key, 0):
            last = self._nonces[key]
            raise Failure(401, f"Nonce is not increasing. This nonce: {nonce}, last nonce: {last}")
        self._nonces[key] = int(nonce)


def _check_expiry(expires: str, at: int) -> None:
    """Only whether it lies in the future is checked; there is no upper bound (section 3.1)."""
    if not expires.isdecimal():
        raise Failure(401, "api-expires is missing or no whole number of seconds.")
    if int(expires) * SECOND <= at:
        raise Failure(
            400,
            "This request has expired - `expires` is in the past. "
            f"Current time: {at // SECOND}",
        )


def check_address(account: AccountSpec, address: str) -> None:
    """Failure 403 where the key is bound to other addresses."""
    if account.addresses and address not in account.addresses:
        raise Failure(403, "This IP address is not allowed to use this API key.")
