"""The veil: whatever is known is taken out, in every form it may be written in."""

from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.shell.telemetry_veil import SECRET_CHARS_MIN, Veil
from oneprice.venues.contract import HIDDEN, Ack, Answer

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=12)
WORDS = st.text(st.characters(codec="ascii"), max_size=30)


@given(secret=SECRETS, before=WORDS, after=WORDS)
def test_no_form_of_a_known_secret_is_left(secret: str, before: str, after: str) -> None:
    veil = Veil()
    veil.keep(secret)
    document = msgspec.json.encode({"a": before, "b": secret, "c": after})
    assert secret not in msgspec.json.decode(veil.frame(document))["b"]
    for form in (secret, quote(secret, safe=""), quote_plus(secret)):
        assert form not in veil.text(f"{before} {form} {after}")
        answer = Answer(
            tag="x", status=200, body=f"{before}{form}".encode(), headers=(("h", form),)
        )
        heard = veil.heard(answer)
        assert form.encode() not in heard.body and form not in heard.headers[0][1]


def test_the_longer_of_two_secrets_is_not_left_by_half() -> None:
    veil = Veil()
    veil.keep("abcdefgh", "abcdefgh-and-more")
    assert veil.text("x abcdefgh-and-more y") == f"x {HIDDEN} y"


def test_short_words_are_no_secrets_and_what_holds_none_stays_the_same_object() -> None:
    veil = Veil()
    veil.keep("key", "x" * (SECRET_CHARS_MIN - 1))
    frame, answer = b'{"key":"xxxxxxx"}', Answer(tag="t", status=200, body=b"key")
    assert veil.frame(frame) is frame
    assert veil.heard(answer) is answer


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/v3/account?timestamp=1&signature=%s",
        "{'X-BAPI-SIGN': '%s'}",
        '("OK-ACCESS-PASSPHRASE", "%s")',
        '{"apiKey":"%s","x":1}',
        "Authorization: Bearer %s",
        "wss://host/endpoint?token=%s&connectId=1",
        "passphrase = %s",
        "KC-API-SIGN=%s",
    ],
)
def test_what_stands_beside_a_telling_name_is_hidden_although_nobody_knows_it(text: str) -> None:
    unknown = "d34db33f0123456789"
    told = Veil().text(text % unknown)
    assert unknown not in told and HIDDEN in told


def test_ordinary_words_are_left_alone() -> None:
    text = "design: quarter-hourly; instrument=bybit:linear:BTCUSDT why=gap detail='expected 5'"
    assert Veil().text(text) == text


def test_a_token_is_read_once_by_the_dialect_and_written_nowhere() -> None:
    veil = Veil()
    token = "tok/en==0123456789abcdef"
    answer = Answer(tag="door", status=200, body=f'{{"token":"{token}"}}'.encode())
    assert veil.heard(answer) is answer
    address = f"wss://host/?token={quote(token, safe='')}&connectId=1"
    key = Ack(socket="s", kind="key", text=address)
    assert token.encode() not in veil.written(answer, [key]).body
    assert token not in veil.text(f"again {token}") and "0123456789" not in veil.text(address)
    # The same token again must still reach the dialect: the venue may hand it out twice.
    assert veil.heard(answer) is answer


def test_a_wider_veil_hears_of_everything() -> None:
    wide = Veil()
    veil = Veil(upper=wide)
    veil.keep("a-secret-of-one")
    veil.learn("a-token-of-some-length")
    assert wide.text("a-secret-of-one a-token-of-some-length") == f"{HIDDEN} {HIDDEN}"
    assert "a-secret" not in repr(veil)
