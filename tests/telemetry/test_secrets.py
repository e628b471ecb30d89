"""Secrets: where they may come from, who may read the file, and that no error shows one."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.app import secrets
from oneprice.app.config import ConfigError
from oneprice.shell.telemetry_veil import VEIL

KEY, SECRET = "key-of-the-acme-venue", "secret-of-the-acme-venue"
PAIR = f"ONEPRICE_ACME_KEY={KEY}\nONEPRICE_ACME_SECRET={SECRET}\n"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if secrets.OURS.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_half_a_secret_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEPRICE_ACME_KEY", KEY)
    with pytest.raises(ConfigError, match="environment: ONEPRICE_ACME_SECRET is missing") as told:
        secrets.credentials("acme")
    assert KEY not in str(told.value)
    monkeypatch.setenv("ONEPRICE_ACME_SECRET", SECRET)
    found = secrets.credentials("acme")
    assert found is not None
    assert (found.key, found.secret, found.passphrase) == (KEY, SECRET, "")
    assert secrets.credentials("nobody") is None


def test_the_environment_goes_before_the_file_and_the_file_before_dotenv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written(tmp_path / ".env", PAIR.replace(KEY, "key-from-dotenv") + "ONEPRICE_B_KEY=b-key-dot\n")
    file = written(tmp_path / "keys", PAIR.replace(KEY, "key-from-file"))
    found = secrets.credentials("acme")
    assert found is not None and found.key == "key-from-dotenv"
    found = secrets.credentials("acme", file=str(file))
    assert found is not None and found.key == "key-from-file"
    other = written(tmp_path / "others", PAIR.replace(KEY, "key-from-other"))
    monkeypatch.setenv("ONEPRICE_SECRETS_FILE", str(other))
    found = secrets.credentials("acme", file=str(file))
    assert found is not None and found.key == "key-from-other"
    monkeypatch.setenv("ONEPRICE_ACME_KEY", "key-from-environment")
    found = secrets.credentials("acme", file=str(file))
    assert found is not None and found.key == "key-from-environment"


def test_a_watchdog_has_keys_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEPRICE_ACME_KEY", KEY)
    monkeypatch.setenv("ONEPRICE_ACME_SECRET", SECRET)
    assert secrets.credentials("acme", "watchdog") is None
    monkeypatch.setenv("ONEPRICE_WATCHDOG_ACME_KEY", "watchdogs-key")
    monkeypatch.setenv("ONEPRICE_WATCHDOG_ACME_SECRET", "watchdogs-secret")
    found = secrets.credentials("acme", "watchdog")
    assert found is not None and found.key == "watchdogs-key"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666, 0o610])
def test_a_file_that_others_can_reach_is_refused_with_both_modes(
    tmp_path: Path, mode: int
) -> None:
    file = written(tmp_path / "keys", PAIR, mode)
    with pytest.raises(ConfigError, match=rf"mode 0{mode:o} .*expected 0600") as told:
        secrets.credentials("acme", file=str(file))
    assert SECRET not in str(told.value) and KEY not in str(told.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_for_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path / "keys", PAIR, mode)
    assert secrets.credentials("acme", file=str(file)) is not None


def test_a_file_of_somebody_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = written(tmp_path / "keys", PAIR)
    ours = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: ours + 1)
    with pytest.raises(ConfigError, match=rf"belongs to user {ours}, expected {ours + 1}"):
        secrets.credentials("acme", file=str(file))


def test_a_dotenv_of_others_that_holds_nothing_of_ours_is_none_of_our_business(
    tmp_path: Path,
) -> None:
    dotted = written(tmp_path / ".env", "DATABASE=x y z\nnot a line\n", 0o644)
    assert secrets.credentials("acme") is None
    dotted.write_text(f"DATABASE=x y z\n{PAIR}")
    with pytest.raises(ConfigError, match=r"\.env: mode 0644"):
        secrets.credentials("acme")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hunter2hunter2\n", "line 1: expected NAME=value"),
        ("# fine\nA=1\nA=2\n", "line 3: A stands there twice"),
        ("A='hunter2hunter2\n", "line 1: a quote is not closed"),
        ("A=hunter2 hunter2\n", "line 1: a blank in the value"),
    ],
)
def test_a_wrong_line_is_named_by_its_number_and_never_quoted(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected) as told:
        secrets.read_secrets(written(tmp_path / "keys", text))
    assert "hunter2" not in str(told.value)


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none: No such file"):
        secrets.read_secrets(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"A=\xff\xfe")
    with pytest.raises(ConfigError, match="byte 2 is not UTF-8"):
        secrets.read_secrets(tmp_path / "bytes")


VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=40)


@given(value=VALUES.filter(lambda v: not ("'" in v and '"' in v)), export=st.booleans())
def test_a_quoted_value_is_read_as_it_stands(tmp_path_factory, value: str, export: bool) -> None:
    quote = '"' if "'" in value else "'"
    line = f"{'export ' if export else ''}ONEPRICE_X_KEY={quote}{value}{quote}\n"
    path = tmp_path_factory.mktemp("keys") / "keys"
    assert secrets.read_secrets(written(path, line)) == {"ONEPRICE_X_KEY": value}


def test_whatever_is_handed_out_is_known_to_the_veil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEPRICE_ACME_KEY", "veiled-key-0001")
    monkeypatch.setenv("ONEPRICE_ACME_SECRET", "veiled-secret-0001")
    monkeypatch.setenv("ONEPRICE_ACME_PASSPHRASE", "veiled phrase 0001")
    found = secrets.credentials("acme")
    told = VEIL.text(f"{found} veiled-key-0001/veiled-secret-0001/veiled%20phrase%200001")
    assert "0001" not in told


def test_addresses_for_alerts_are_secrets_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "tgram://bottoken12345678/chat0000001"
    monkeypatch.setenv("ONEPRICE_ALERTS", f"{address} json://user:passw0rd9@host/path")
    assert secrets.alert_urls() == [address, "json://user:passw0rd9@host/path"]
    assert "passw0rd9" not in VEIL.text("could not log in with passw0rd9")
    monkeypatch.setenv("SENTRY_DSN", "https://0123456789abcdef@errors.example/7")
    assert secrets.sentry_dsn() == "https://0123456789abcdef@errors.example/7"
    assert "0123456789abcdef" not in VEIL.text("dsn with 0123456789abcdef")
