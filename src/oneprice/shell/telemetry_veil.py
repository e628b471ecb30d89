"""The veil: what must never be written down, and how it is taken out of what is."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, quote_plus, unquote

import msgspec

from oneprice.venues.contract import HIDDEN, Ack, Answer, Output

SECRET_CHARS_MIN = 8  # shorter words stand in ordinary text, and protect nothing
TOKENS_KEPT = 48  # the newest: each private frame is searched for them
SIGNATURE = re.compile(r"[A-Za-z0-9+/=_-]{32,}")
TOKEN_CHARS_MIN = 16  # of what a venue hands out: a listen key, a token in an address
# What nobody should read stands beside a telling name, whoever said it: name=value, "name": "x".
_TELLING = (
    r"[\w-]*(?:secret|passphrase|password|signature|authorization|api[-_]?key|listenkey|token)"
    r"|(?:ok|kc)-(?:access|api)-(?:key|sign)|x-bapi-sign|sign"
)
NAMED = re.compile(
    rf"(?i)(?<![\w-])(?P<name>{_TELLING})(?P<between>\\*[\"']?\s*[:=,]\s*\\*[\"']?)"
    r"(?:(?:bearer|basic)\s+)?[^\s\"'&,;(){}\[\]\\]{8,}"
)
# What a venue repeats of one request of ours: made anew for each, so known to no list.
REPEATED = re.compile(
    rb"(?i)(?<![\w-])((?:[\w-]*-)?(?:sign|signature|passphrase))"
    rb"(\\*[\"']?\s*[:=,]\s*\\*[\"']?)[^\s\"'&,;(){}\[\]\\]{8,}"
)
REPEATED_BYTES_MAX = 16 * 1024  # who answers at such length tells of instruments, not of us
SECRET_FIELDS = re.compile(rf"(?i)key|listen_key|{_TELLING}")


class Veil:
    """Knows secrets by value; `upper` is a wider one that is told of them too.

    Two kinds: what an account proves itself with, which no dialect needs to read in an answer,
    and what a venue handed out for a while, which a dialect must read once.
    """

    def __init__(self, upper: "Veil | None" = None) -> None:
        self._upper = upper
        self._words: dict[str, None] = {}
        self._tokens: dict[str, None] = {}
        self._bytes: tuple[bytes, ...] = ()
        self._all_bytes: tuple[bytes, ...] = ()
        self._all: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Veil({len(self._words)} secrets, {len(self._tokens)} tokens)"

    # What it knows -------------------------------------------------------------------------

    def keep(self, *secrets: str) -> None:
        """Never show these again, as they are or as an address or a document would write them."""
        for secret in secrets:
            if len(secret) >= SECRET_CHARS_MIN:
                self._words |= dict.fromkeys(_forms(secret))
        self._arrange()
        if self._upper is not None:
            self._upper.keep(*secrets)

    def learn(self, text: str) -> None:
        """A venue handed out a token, or an address with tokens in its query."""
        _, found, query = text.partition("?")
        values = [value for _, value in parse_qsl(query)] if found else [text]
        raw = [part.partition("=")[2] for part in query.split("&")]
        for value in (*values, *raw):
            if len(value) >= TOKEN_CHARS_MIN:
                self._tokens |= dict.fromkeys(_forms(value))
        for old in list(self._tokens)[:-TOKENS_KEPT]:
            del self._tokens[old]
        self._arrange()
        if self._upper is not None:
            self._upper.learn(text)

    def learn_login(self, frame: bytes) -> None:
        """A login leaves on a socket: there are venues that repeat it in their answer, whole."""
        for signature in SIGNATURE.findall(frame.decode(errors="replace")):
            self.learn(signature)

    def _arrange(self) -> None:
        # The longest first: what is left of one whose beginning is another would be half of it.
        self._all = _longest_first(self._words | self._tokens)
        self._all_bytes = tuple(word.encode() for word in self._all)
        self._bytes = tuple(word.encode() for word in _longest_first(self._words))

    # What it takes out ---------------------------------------------------------------------

    def text(self, text: str) -> str:
        """The same without anything known, and without what stands beside a telling name."""
        return NAMED.sub(_named_only, self.known(text))

    def known(self, text: str) -> str:
        """Without anything known; a hundred times quicker, for long texts of our own making."""
        for secret in self._all:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return text

    def frame(self, payload: bytes) -> bytes:
        """A private frame without anything known; the very same object where nothing was."""
        for secret in self._all_bytes:
            if secret in payload:
                payload = payload.replace(secret, HIDDEN.encode())
        return payload

    def heard(self, answer: Answer) -> Answer:
        """An answer as a dialect may read it: without what our account proves itself with."""
        answer = _without(answer, self._bytes)
        if not 0 < len(answer.body) <= REPEATED_BYTES_MAX:
            return answer
        said = answer.body.lower()
        if b"sign" not in said and b"passphrase" not in said:
            return answer
        body = REPEATED.sub(rb"\1\2" + HIDDEN.encode(), answer.body)
        return answer if body == answer.body else msgspec.structs.replace(answer, body=body)

    def written(self, answer: Answer, outputs: Iterable[Output] = ()) -> Answer:
        """An answer as it may be kept; tokens that its outputs tell of are learned first."""
        for output in outputs:
            if isinstance(output, Ack) and output.kind == "key" and output.ok:
                self.learn(output.text)
        return _without(answer, self._all_bytes)


VEIL = Veil()  # of this process: everything that is written for people passes it last


def _named_only(match: re.Match[str]) -> str:
    return f"{match['name']}{match['between']}{HIDDEN}"


def _forms(secret: str) -> list[str]:
    written = msgspec.json.encode(secret).decode()[1:-1]
    forms = [secret, quote(secret, safe=""), quote_plus(secret), unquote(secret), written]
    return [form for form in dict.fromkeys(forms) if len(form) >= SECRET_CHARS_MIN]


def _longest_first(words: Mapping[str, None]) -> tuple[str, ...]:
    return tuple(sorted(words, key=lambda word: (-len(word), word)))


def _without(answer: Answer, secrets: tuple[bytes, ...]) -> Answer:
    body, headers, detail = answer.body, answer.headers, answer.detail
    for secret in secrets:
        if secret in body:
            body = body.replace(secret, HIDDEN.encode())
        word = secret.decode()
        if any(word in value for _, value in headers):
            headers = tuple((name, value.replace(word, HIDDEN)) for name, value in headers)
        detail = detail.replace(word, HIDDEN)
    if body is answer.body and headers is answer.headers and detail == answer.detail:
        return answer
    return msgspec.structs.replace(answer, body=body, headers=headers, detail=detail)
