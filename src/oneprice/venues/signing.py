"""Keyed hashes as venues want them: hex or base64 of HMAC-SHA256."""

import base64
import hashlib
import hmac


class Signer:
    """Signs texts with one secret; the keyed state is prepared once (half the cost per call)."""

    def __init__(self, secret: str) -> None:
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def _digest(self, text: bytes) -> bytes:
        state = self._keyed.copy()
        state.update(text)
        return state.digest()

    def hex(self, text: str | bytes) -> str:
        return self._digest(text.encode() if isinstance(text, str) else text).hex()

    def base64(self, text: str | bytes) -> str:
        digest = self._digest(text.encode() if isinstance(text, str) else text)
        return base64.b64encode(digest).decode()

    def __repr__(self) -> str:
        return "Signer(***)"
