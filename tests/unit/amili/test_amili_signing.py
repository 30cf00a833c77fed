"""Signatures: what is made is accepted, what was touched is not."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.amili.contract import Contract
from service.amili.schemes import RECIPES, SCHEMES
from service.amili.signing import sign, verify
from service.errors import ConfigError, SignatureError, StaleDelivery

NOW = 1_776_000_000.0
BODY = b'{"id":"e1"}'
SECRET = "correct-horse-battery-staple"
WHSEC = "whsec_" + b64encode(b"k" * 24).decode()

schemes = st.sampled_from(SCHEMES)
TIMED = [scheme for scheme in SCHEMES if RECIPES[scheme].form != "plain"]
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F), min_size=1, max_size=40)
ids = st.text("abcdefghij0123456789-_.", min_size=1, max_size=40)


def contract(scheme: str = "hmac-sha256-hex", **given: object) -> Contract:
    """Make a contract with one scheme."""
    return Contract.model_validate({"signature_scheme": scheme, **given})


def written(scheme: str, secret: str = SECRET) -> str:
    """Write a secret in the form that this scheme reads."""
    reading = RECIPES[scheme].secret
    if reading == "hex":
        return secret.encode().hex()
    return b64encode(secret.encode()).decode() if reading == "base64" else secret


def signed(scheme: str, body: bytes = BODY, secret: str = SECRET) -> list[tuple[str, str]]:
    """Make the headers of a delivery, among others."""
    made = sign(
        body, written(scheme, secret), contract=contract(scheme), now=NOW, message_id="msg_1"
    )
    return [("Host", "example.org"), *made.items(), ("Content-Type", "application/json")]


def reason(headers: list[tuple[str, str]], scheme: str = "hmac-sha256-hex", **given: object) -> str:
    """Say why a delivery is refused."""
    with pytest.raises(SignatureError) as caught:
        verify(headers, BODY, [written(scheme)], contract=contract(scheme, **given), now=NOW)
    return caught.value.reason


class TestLaws:
    """What holds for every scheme, body and secret."""

    @given(scheme=schemes, body=st.binary(max_size=300), secret=secrets, message_id=ids)
    def test_signed_is_accepted(
        self, scheme: str, body: bytes, secret: str, message_id: str
    ) -> None:
        """Whatever `sign` signs, `verify` accepts."""
        known = written(scheme, secret)
        made = sign(body, known, contract=contract(scheme), now=NOW, message_id=message_id)
        verify(made.items(), body, [known], contract=contract(scheme), now=NOW)

    @given(scheme=schemes, body=st.binary(min_size=1, max_size=80), data=st.data())
    def test_a_flipped_bit_of_the_body_is_refused(
        self, scheme: str, body: bytes, data: st.DataObject
    ) -> None:
        """One bit of the body decides."""
        bit = data.draw(st.integers(0, len(body) * 8 - 1))
        touched = bytearray(body)
        touched[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureError, match="does not prove") as caught:
            verify(
                signed(scheme, body),
                bytes(touched),
                [written(scheme)],
                contract=contract(scheme),
                now=NOW,
            )
        assert caught.value.reason == "no_secret_matched"

    @given(scheme=st.sampled_from(SCHEMES[:2]), bit=st.integers(0, 255))
    def test_a_flipped_bit_of_the_signature_is_refused(self, scheme: str, bit: int) -> None:
        """One bit of the signature decides."""
        digest = bytearray.fromhex(dict(signed(scheme))["X-Webhook-Signature"])
        digest[bit // 8] ^= 1 << bit % 8
        assert reason([("X-Webhook-Signature", digest.hex())], scheme) == "no_secret_matched"

    @given(scheme=schemes, value=st.text(max_size=200))
    def test_any_header_value_is_only_refused(self, scheme: str, value: str) -> None:
        """No header value makes anything but a SignatureError."""
        headers = [(name, value) for name, _ in signed(scheme)[1:-1]]
        assert reason(headers, scheme) in {"undecodable", "no_secret_matched"}

    @given(scheme=schemes, other=secrets.filter(lambda text: text != SECRET))
    def test_another_secret_is_refused(self, scheme: str, other: str) -> None:
        """A delivery signed with another secret is not Amili's."""
        assert reason(signed(scheme, BODY, other), scheme) == "no_secret_matched"


@pytest.mark.parametrize("scheme", SCHEMES)
class TestEveryScheme:
    """Cases that each scheme has to pass."""

    def test_any_of_several_secrets_fits(self, scheme: str) -> None:
        """A secret is rotated without downtime: all of them are tried."""
        old, new = written(scheme), written(scheme, "a-new-one")
        for order in ([new, old], [old, new]):
            verify(signed(scheme), BODY, order, contract=contract(scheme), now=NOW)

    def test_header_names_have_no_case(self, scheme: str) -> None:
        """Servers hand on header names in any case."""
        headers = [(name.upper(), value) for name, value in signed(scheme)]
        verify(headers, BODY, [written(scheme)], contract=contract(scheme), now=NOW)

    def test_without_header_it_is_refused(self, scheme: str) -> None:
        """A delivery without signature says so."""
        assert reason([("Host", "example.org")], scheme) == "no_header"

    def test_twice_the_header_is_ambiguous(self, scheme: str) -> None:
        """Two values of one header are never chosen between."""
        assert reason(signed(scheme) * 2, scheme) == "ambiguous"

    def test_non_ascii_is_undecodable(self, scheme: str) -> None:
        """Latin-1 bytes in the header are refused, not a crash."""
        headers = [(name, "\xe5" + value) for name, value in signed(scheme)]
        assert reason(headers, scheme) == "undecodable"

    def test_no_secret_is_a_config_error(self, scheme: str) -> None:
        """Without a secret, or with an empty one, nothing is ever accepted."""
        for none in ([], [""], [SECRET, ""]):
            with pytest.raises(ConfigError):
                verify(signed(scheme), BODY, none, contract=contract(scheme), now=NOW)
        with pytest.raises(ConfigError):
            sign(BODY, "", contract=contract(scheme), now=NOW, message_id="m")


class TestPlainSchemes:
    """The header is the digest."""

    def test_the_default_is_hex_of_hmac_sha256(self) -> None:
        """The default scheme is what the contract page says, written out by hand."""
        digest = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
        assert dict(signed("hmac-sha256-hex"))["X-Webhook-Signature"] == digest

    @pytest.mark.parametrize("scheme", SCHEMES[:4])
    def test_the_prefix_is_optional(self, scheme: str) -> None:
        """`sha256=` before the digest is accepted, the other algorithm's is not."""
        text = dict(signed(scheme))["X-Webhook-Signature"]
        mine, other = ("sha256=", "sha512=") if "256" in scheme else ("sha512=", "sha256=")
        for prefix in (mine, mine.upper(), f"hmac-{mine}", mine.replace("=", ":"), "v1="):
            headers = [("X-Webhook-Signature", prefix + text)]
            verify(headers, BODY, [SECRET], contract=contract(scheme), now=NOW)
        assert reason([("X-Webhook-Signature", other + text)], scheme) == "undecodable"

    def test_base64_of_urls_and_without_padding_is_accepted(self) -> None:
        """Base64 has two alphabets, and its padding says nothing."""
        scheme = contract("hmac-sha256-base64")
        alphabets = set()
        for number in range(40):
            body = b"%d" % number
            text = b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
            alphabets |= set("+/") & set(text)
            text = text.replace("+", "-").replace("/", "_").rstrip("=")
            verify([("X-Webhook-Signature", text)], body, [SECRET], contract=scheme, now=NOW)
        assert alphabets == set("+/")

    def test_upper_case_hex_is_accepted(self) -> None:
        """Hex has no case."""
        text = dict(signed("hmac-sha256-hex"))["X-Webhook-Signature"].upper()
        verify([("X-Webhook-Signature", text)], BODY, [SECRET], contract=contract(), now=NOW)

    @pytest.mark.parametrize("text", ["", "00", "zz" * 32, "0" * 63, "0 " * 32, "0" * 128])
    def test_what_is_no_digest_is_undecodable(self, text: str) -> None:
        """A header of another form tells of a wrong scheme rather than a wrong secret."""
        assert reason([("X-Webhook-Signature", text)]) == "undecodable"

    def test_the_header_can_be_another(self) -> None:
        """The header's name is configuration."""
        other = contract(signature_header="X-Sig")
        made = sign(BODY, SECRET, contract=other, now=NOW, message_id="m")
        assert list(made) == ["X-Sig"]
        verify(made.items(), BODY, [SECRET], contract=other, now=NOW)


@pytest.mark.parametrize("scheme", TIMED)
class TestTime:
    """Schemes that sign a time refuse both sides of the window."""

    @pytest.mark.parametrize(
        ("seconds", "why"), [(301, "too_old"), (-301, "in_future"), (10**7, "too_old")]
    )
    def test_outside_the_window_is_stale(self, scheme: str, seconds: float, why: str) -> None:
        """An authentic delivery of another time is stale."""
        with pytest.raises(StaleDelivery) as caught:
            verify(
                signed(scheme),
                BODY,
                [written(scheme)],
                contract=contract(scheme),
                now=NOW + seconds,
            )
        assert caught.value.reason == why

    @pytest.mark.parametrize("seconds", [300, -300])
    def test_the_edges_are_inside(self, scheme: str, seconds: float) -> None:
        """The tolerance itself is still accepted."""
        verify(
            signed(scheme), BODY, [written(scheme)], contract=contract(scheme), now=NOW + seconds
        )

    @pytest.mark.parametrize("time", ["", "x", "-1", "1.5", "9" * 13, "1_0"])
    def test_an_unreadable_time_is_undecodable(self, scheme: str, time: str) -> None:
        """A time that is no number of seconds is refused before any arithmetic."""
        at = str(int(NOW))
        headers = [(name, value.replace(at, time)) for name, value in signed(scheme)]
        assert reason(headers, scheme) == "undecodable"


class TestSeveralSignatures:
    """Schemes with room for several signatures accept any of them."""

    def test_timestamped(self) -> None:
        """One of several v1 is enough; spaces and unknown names are ignored."""
        text = dict(signed("timestamped"))["X-Webhook-Signature"]
        at, good = text.split(",")
        text = f"{at}, v0=ab, v1={'0' * 64}, {good}"
        headers = [("X-Webhook-Signature", text)]
        verify(headers, BODY, [SECRET], contract=contract("timestamped"), now=NOW)

    def test_standard(self) -> None:
        """One of several v1 is enough; other versions are ignored."""
        headers = dict(signed("standard-webhooks"))
        wrong = b64encode(b"0" * 32).decode()
        headers["webhook-signature"] = f"v1a,xx v1,{wrong} {headers['webhook-signature']}"
        verify(headers.items(), BODY, [SECRET], contract=contract("standard-webhooks"), now=NOW)

    @pytest.mark.parametrize("text", ["t=1,t=2,v1=" + "0" * 64, "v1=" + "0" * 64, "t=1"])
    def test_two_times_or_none_are_undecodable(self, text: str) -> None:
        """Exactly one time and at least one signature make a claim."""
        assert reason([("X-Webhook-Signature", text)], "timestamped") == "undecodable"


class TestStandardWebhooks:
    """Facts of the Standard Webhooks specification."""

    def test_the_published_example(self) -> None:
        """A signature made by hand after the specification is accepted."""
        content = b"msg_1." + str(int(NOW)).encode() + b"." + BODY
        digest = hmac.new(b"k" * 24, content, hashlib.sha256).digest()
        headers = [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", str(int(NOW))),
            ("webhook-signature", "v1," + b64encode(digest).decode()),
        ]
        verify(headers, BODY, [WHSEC], contract=contract("standard-webhooks"), now=NOW)
        verify(
            headers,
            BODY,
            [WHSEC.removeprefix("whsec_")],
            contract=contract("standard-webhooks"),
            now=NOW,
        )

    def test_a_secret_of_another_form_is_a_config_error(self) -> None:
        """A secret that the scheme cannot read is told, and not repeated."""
        for scheme in ("hmac-sha256-hex+hex-secret", "timestamped+base64-secret"):
            with pytest.raises(ConfigError, match=r"AMILI_WEBHOOK_SECRETS") as caught:
                sign(BODY, "no such form!", contract=contract(scheme), now=NOW, message_id="m")
            assert "no such form!" not in str(caught.value)

    def test_a_secret_that_is_no_base64_is_a_config_error(self) -> None:
        """`whsec_` promises base64."""
        with pytest.raises(ConfigError, match="base64"):
            sign(BODY, "whsec_???", contract=contract("standard-webhooks"), now=NOW, message_id="m")
