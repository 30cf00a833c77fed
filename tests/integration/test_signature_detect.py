"""`signature detect` as an operator runs it: files in, the lines to set out, an exit code.

Each delivery is signed here by hand, so that a misreading in the product is seen.
"""

from __future__ import annotations

import hashlib
import hmac
import subprocess
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.amili.contract import Contract, load
from service.amili.schemes import SCHEMES
from service.amili.signing import verify
from service.errors import StaleDelivery
from service.intake.capture import Capture
from tests.doors import SECRET, DoorThread, command, commands, event, migrated, settings_for

BODY = '{"id":"e1","eventType":"CASE_UPDATED","data":{"description":"blåbær"}}'.encode()
KEY = bytes(range(1, 33))
TEXT = "a secret, in words"
#: Years ago: age is ignored.
AT = "1500000000"
HEADER = "X-Webhook-Signature"

Headers = dict[str, str]


def mac(key: bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    """Compute an HMAC without the product's words."""
    return hmac.new(key, message, getattr(hashlib, algorithm)).digest()


def based(raw: bytes) -> str:
    """Write base64."""
    return b64encode(raw).decode()


def plain(text: str) -> Headers:
    """Put a signature where the contract says."""
    return {HEADER: text}


def timed(key: bytes, algorithm: str = "sha256") -> bytes:
    """Sign a time and the body."""
    return mac(key, f"{AT}.".encode() + BODY, algorithm)


def standard(key: bytes, prefix: str = "webhook") -> Headers:
    """Sign as Standard Webhooks says."""
    digest = mac(key, f"msg_1.{AT}.".encode() + BODY)
    names = [f"{prefix}-{part}" for part in ("id", "timestamp", "signature")]
    return dict(zip(names, ["msg_1", AT, f"v1,{based(digest)}"], strict=True))


#: Scheme → the headers and the line of the secret file, in all forms that the issue names.
SIGNED: dict[str, tuple[Headers, str]] = {
    "hmac-sha256-hex": (plain(mac(TEXT.encode(), BODY).hex()), TEXT),
    "hmac-sha512-hex": (plain(mac(TEXT.encode(), BODY, "sha512").hex()), TEXT),
    "hmac-sha256-base64": (plain(based(mac(TEXT.encode(), BODY))), TEXT),
    "hmac-sha512-base64": (plain(based(mac(TEXT.encode(), BODY, "sha512"))), TEXT),
    "timestamped": (plain(f"t={AT},v1={timed(TEXT.encode()).hex()}"), TEXT),
    "timestamped-sha512": (plain(f"t={AT},v1={timed(TEXT.encode(), 'sha512').hex()}"), TEXT),
    "timestamped-base64": (plain(f"t={AT}, v1={based(timed(TEXT.encode()))}"), TEXT),
    "timestamped-sha512-base64": (
        plain(f"v1={based(timed(TEXT.encode(), 'sha512'))},t={AT}"),
        TEXT,
    ),
    "standard-webhooks": (standard(KEY), f"whsec_{based(KEY)}"),
    "standard-webhooks+hex-secret": (standard(KEY), KEY.hex()),
    "hmac-sha256-hex+hex-secret": (plain(mac(KEY, BODY).hex()), KEY.hex()),
    "hmac-sha512-hex+hex-secret": (plain(mac(KEY, BODY, "sha512").hex().upper()), KEY.hex()),
    "hmac-sha256-base64+hex-secret": (plain(based(mac(KEY, BODY))), KEY.hex().upper()),
    "hmac-sha512-base64+hex-secret": (plain(based(mac(KEY, BODY, "sha512"))), KEY.hex()),
    "timestamped+hex-secret": (plain(f"t={AT},v1={timed(KEY).hex()}"), KEY.hex()),
    "timestamped-sha512+hex-secret": (plain(f"t={AT},v1={timed(KEY, 'sha512').hex()}"), KEY.hex()),
    "timestamped-base64+hex-secret": (plain(f"t={AT},v1={based(timed(KEY))}"), KEY.hex()),
    "timestamped-sha512-base64+hex-secret": (
        plain(f"t={AT},v1={based(timed(KEY, 'sha512'))}"),
        KEY.hex(),
    ),
    "hmac-sha256-hex+base64-secret": (plain(mac(KEY, BODY).hex()), based(KEY)),
    "hmac-sha512-hex+base64-secret": (plain(mac(KEY, BODY, "sha512").hex()), based(KEY)),
    "hmac-sha256-base64+base64-secret": (plain(based(mac(KEY, BODY))), f"whsec_{based(KEY)}"),
    "hmac-sha512-base64+base64-secret": (plain(based(mac(KEY, BODY, "sha512"))), based(KEY)),
    "timestamped+base64-secret": (plain(f"t={AT},v1={timed(KEY).hex()}"), based(KEY)),
    "timestamped-sha512+base64-secret": (
        plain(f"t={AT},v1={timed(KEY, 'sha512').hex()}"),
        based(KEY),
    ),
    "timestamped-base64+base64-secret": (plain(f"t={AT},v1={based(timed(KEY))}"), based(KEY)),
    "timestamped-sha512-base64+base64-secret": (
        plain(f"t={AT},v1={based(timed(KEY, 'sha512'))}"),
        based(KEY).rstrip("="),
    ),
}
#: Spellings that are no scheme of their own.
SPELT: list[tuple[str, Headers]] = [
    ("hmac-sha256-hex", plain(f"sha256={mac(TEXT.encode(), BODY).hex()}")),
    ("hmac-sha512-hex", plain(f"sha512={mac(TEXT.encode(), BODY, 'sha512').hex()}")),
    ("hmac-sha256-base64", plain(f"sha256={based(mac(TEXT.encode(), BODY))}")),
    (
        "hmac-sha512-base64",
        plain(urlsafe_b64encode(mac(TEXT.encode(), BODY, "sha512")).decode().rstrip("=")),
    ),
]


def written(folder: Path, headers: Mapping[str, str], secret: str, body: bytes = BODY) -> list[str]:
    """Write the three files as they come from a capture; return the command's words."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = {
        "Host": "example.org",
        "Content-Length": str(len(body)),
        **headers,
        "X-Request-Id": "7",
    }
    request = "POST /webhooks/amili HTTP/1.1\r\n"
    text = request + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    (folder / "headers").write_bytes(text.encode())
    (folder / "body").write_bytes(body)
    (folder / "secret").write_text(f"{secret}\n")
    return words(folder)


def words(folder: Path) -> list[str]:
    """Name the three files of a folder."""
    named = (("--headers", "headers"), ("--body", "body"), ("--secret-file", "secret"))
    found = [word for option, name in named for word in (option, str(folder / name))]
    return ["signature", "detect", *found]


def said(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Read the variables that were named."""
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_every_scheme_is_named(tmp_path: Path) -> None:
    """Of every scheme, a delivery signed by hand is told as exactly that one."""
    assert set(SIGNED) == set(SCHEMES)
    assert len(SIGNED) >= 12
    asked = [written(tmp_path / name, *given) for name, given in SIGNED.items()]
    done = commands(tmp_path, [(each, {}) for each in asked])
    found = {name: each.stdout for name, each in zip(SIGNED, done, strict=True)}
    assert found == {name: f"AMILI_SIGNATURE_SCHEME={name}\n" for name in SIGNED}
    assert {each.returncode for each in done} == {0}


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_named_is_accepted(name: str) -> None:
    """The door takes the delivery with the scheme that was named: it is authentic, if stale."""
    headers, secret = SIGNED[name]
    contract = load(signature_scheme=name)
    try:
        verify(headers.items(), BODY, [secret], contract=contract, now=float(AT))
    except StaleDelivery:
        pytest.fail("the time was read wrongly")


def test_other_spellings(tmp_path: Path) -> None:
    """A prefix and the other base64 alphabet are no schemes of their own."""
    asked = [written(tmp_path / str(n), given, TEXT) for n, (_, given) in enumerate(SPELT)]
    done = commands(tmp_path, [(each, {}) for each in asked])
    found = [said(each) for each in done]
    assert found == [{"AMILI_SIGNATURE_SCHEME": name} for name, _ in SPELT]


def test_a_wrong_secret_fits_none(tmp_path: Path) -> None:
    """With another secret the answer is «none fits», header names only, and exit code 1."""
    some = SCHEMES[:9]  # one of each form; how the secret is read makes no difference here
    asked = [written(tmp_path / name, SIGNED[name][0], "the-wrong-one") for name in some]
    for done in commands(tmp_path, [(each, {}) for each in asked]):
        assert done.returncode == 1
        assert done.stdout.startswith("none fits\n")
        assert "the-wrong-one" not in done.stdout + done.stderr
        assert "Host" in done.stdout
        assert "example.org" not in done.stdout
        assert "Traceback" not in done.stderr


def test_other_headers(tmp_path: Path) -> None:
    """A signature under another header is found, and the header's variable is named too."""
    digest = mac(TEXT.encode(), BODY).hex()
    one = command(*written(tmp_path / "one", {"X-Hub-Signature-256": f"sha256={digest}"}, TEXT))
    assert said(one) == {
        "AMILI_SIGNATURE_SCHEME": "hmac-sha256-hex",
        "AMILI_SIGNATURE_HEADER": "X-Hub-Signature-256",
    }
    three = command(*written(tmp_path / "three", standard(KEY, "svix"), f"whsec_{based(KEY)}"))
    assert said(three) == {
        "AMILI_SIGNATURE_SCHEME": "standard-webhooks",
        "AMILI_STANDARD_SIGNATURE_HEADER": "svix-signature",
        "AMILI_STANDARD_ID_HEADER": "svix-id",
        "AMILI_STANDARD_TIMESTAMP_HEADER": "svix-timestamp",
    }
    contract = Contract.model_validate(
        {name.removeprefix("AMILI_").lower(): value for name, value in said(three).items()}
    )
    headers = standard(KEY, "svix")
    verify(headers.items(), BODY, [f"whsec_{based(KEY)}"], contract=contract, now=float(AT))


def test_two_schemes_fit(tmp_path: Path) -> None:
    """Where a sender signs twice, both are named, the simplest first."""
    text = mac(TEXT.encode(), BODY, "sha512").hex()
    headers = {"X-Sig": text, HEADER: mac(TEXT.encode(), BODY).hex()}
    done = command(*written(tmp_path, headers, TEXT))
    assert done.returncode == 0
    first, second = done.stdout.split("\n\n")
    assert first == "AMILI_SIGNATURE_SCHEME=hmac-sha256-hex"
    assert second == "AMILI_SIGNATURE_SCHEME=hmac-sha512-hex\nAMILI_SIGNATURE_HEADER=X-Sig\n"


def test_why_none_fits(tmp_path: Path) -> None:
    """A changed body and a missing signature are told from a wrong secret."""
    headers = plain(mac(TEXT.encode(), BODY).hex())
    asked = [
        written(tmp_path / "edited", headers, TEXT, BODY + b"\n"),
        written(tmp_path / "unsigned", {"X-Amili-Event": "CASE"}, TEXT),
    ]
    edited, unsigned = commands(tmp_path, [(each, {}) for each in asked])
    assert (edited.returncode, unsigned.returncode) == (1, 1)
    assert "without the line break at its end" in edited.stdout
    assert "No header holds a signature" in unsigned.stdout
    assert "X-Amili-Event" in unsigned.stdout


def test_bad_input(tmp_path: Path) -> None:
    """Every wrong use ends in one line that says what to do."""
    good = written(tmp_path / "good", plain("00"), TEXT)
    for name, content in (("nothing", b""), ("binary", bytes(range(128, 256)))):
        (tmp_path / name).write_bytes(content)
    headers, body = tmp_path / "good" / "headers", tmp_path / "good" / "body"
    wrong = [
        (["signature", "detect"], "--last"),
        (["signature", "detect", "--headers", str(headers)], "--body"),
        ([*good, "--last"], "--last"),
        ([*good, "--headers", str(tmp_path / "nothing")], "Name: value"),
        ([*good, "--secret-file", str(tmp_path / "nothing")], "no secret"),
        ([*good, "--secret-file", str(tmp_path / "binary")], "UTF-8"),
        ([*good, "--body", str(tmp_path / "absent")], "absent"),
        (["signature", "detect", "--headers", str(headers), "--body", str(body)], "--secret-file"),
        (["signature", "detect", "--last"], "AMILI_CAPTURE_REFUSED"),
    ]
    given = {"AMILI_DATA_DIR": tmp_path}
    done = commands(tmp_path, [(each, given) for each, _ in wrong])
    for each, (_, expected) in zip(done, wrong, strict=True):
        assert each.returncode == 1, each
        assert expected in each.stderr
        assert len(each.stderr.splitlines()) == 1
        assert each.stdout == ""


def test_last(redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
    """The newest delivery that the door refused for its signature tells what to set."""
    migrated(sqlite_url, tmp_path)
    settings = settings_for(redis_url, sqlite_url, tmp_path, capture_refused=5)
    body = event()
    digest = mac(SECRET.encode(), body, "sha512")
    with DoorThread(settings) as door:
        older = door.deliver(event(), X_Webhook_Signature="00")
        assert older.status == 401
        assert door.deliver(body, X_Webhook_Signature=based(digest)).status == 401
        assert door.deliver(b"{not json").status == 400  # newer, but proven
    given = {"AMILI_DATA_DIR": tmp_path, "AMILI_WEBHOOK_SECRETS": f"other,{SECRET}"}
    done = command("signature", "detect", "--last", **given)
    assert said(done) == {"AMILI_SIGNATURE_SCHEME": "hmac-sha512-base64"}
    (tmp_path / "secret").write_text("wrong\n")
    wrong = command(
        "signature", "detect", "--last", "--secret-file", str(tmp_path / "secret"), **given
    )
    assert (wrong.returncode, wrong.stdout.splitlines()[0]) == (1, "none fits")


def test_last_passes_over_what_is_not_ours(tmp_path: Path) -> None:
    """Strange files in the folder, and a capture that was cut short, are not read."""
    capture = Capture(tmp_path, 5)
    capture.keep(plain(mac(SECRET.encode(), BODY).hex()).items(), BODY, "no_secret_matched")
    folder = tmp_path / "refused"
    (folder / "x-no_header-y.json").write_text("{}")
    (folder / "99999999999999999999-no_header-00.body").write_text("cut short")
    done = command(
        "signature", "detect", "--last", AMILI_DATA_DIR=tmp_path, AMILI_WEBHOOK_SECRETS=SECRET
    )
    assert said(done) == {"AMILI_SIGNATURE_SCHEME": "hmac-sha256-hex"}


def test_the_door_and_send_use_what_is_named(
    redis_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    """With the line that was printed, `send` is accepted by the door."""
    migrated(sqlite_url, tmp_path)
    name = "timestamped-sha512+hex-secret"
    secrets = (SecretStr(KEY.hex()),)
    settings = settings_for(redis_url, sqlite_url, tmp_path).model_copy(
        update={"webhook_secrets": secrets}
    )
    with DoorThread(settings, Contract(signature_scheme=name)) as door:
        sent = command(
            *("send", "--url", f"http://127.0.0.1:{door.port}/webhooks/amili"),
            AMILI_WEBHOOK_SECRETS=KEY.hex(),
            AMILI_SIGNATURE_SCHEME=name,
        )
    assert (sent.returncode, sent.stdout[:3]) == (0, "202")
