"""What AMILI_REDIS_URL may look like, what it means, and what is said of every other form."""

from __future__ import annotations

from urllib.parse import quote

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from service.cli.setting import hidden
from service.errors import ConfigError
from service.redis import connect, connect_async, described, explained
from service.redis.pools import is_demoted
from service.redis.urls import parse

SECRET = "not-to-be-told"
text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)


class TestForms:
    def test_one_server(self) -> None:
        """Host, port, database and login are read as redis-py reads them."""
        found = parse("redis://app:p%40ss@redis.example:7000/3")
        assert (found.wire, found.sentinels, found.service) == ("tcp", (), "")
        assert found.options == {
            "host": "redis.example",
            "port": 7000,
            "db": 3,
            "username": "app",
            "password": "p@ss",
        }

    def test_sentinels(self) -> None:
        """Sentinels, ports, the service, the database and both logins are told apart."""
        found = parse(
            "redis+sentinel://app:p%40ss@one,two:7001,[::1]:7002/my%20master/3"
            "?sentinel_username=look&sentinel_password=s%26x"
        )
        assert found.sentinels == (("one", 26379), ("two", 7001), ("::1", 7002))
        assert found.service == "my master"
        assert found.options == {"username": "app", "password": "p@ss", "db": 3}
        assert found.sentinel_options == {"username": "look", "password": "s&x"}

    def test_sentinels_over_tls(self) -> None:
        """The options of TLS hold for the Sentinels as for the master."""
        found = parse("rediss+sentinel://one/bells?ssl_check_hostname=false")
        assert found.wire == "tls"
        assert found.options == {"ssl_check_hostname": False}
        assert found.sentinel_options == {"ssl": True, "ssl_check_hostname": False}

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("redis://h:1/0", ""),
            ("unix:///run/redis.sock", ""),
            ("rediss://h", "over TLS"),
            ("rediss://h?ssl_cert_reqs=none", "over TLS, its certificate NOT checked"),
            ("rediss://h?ssl_check_hostname=no", "over TLS, its host name NOT checked"),
            ("redis+sentinel://one/bells", "the master of bells that one Sentinel names"),
            (
                "rediss+sentinel://a,b,c/bells",
                "the master of bells that 3 Sentinels name, over TLS",
            ),
        ],
    )
    def test_described(self, url: str, said: str) -> None:
        """Each form is described in words, and both clients can be made of it."""
        assert described(url) == said
        assert isinstance(connect(url), redis.Redis)
        assert isinstance(connect_async(url), redis.asyncio.Redis)

    @given(user=text, password=text, service=text.filter(lambda name: "/" not in name))
    def test_any_login(self, user: str, password: str, service: str) -> None:
        """Whatever stands percent-encoded in a login or a name arrives as it was meant."""
        words = [quote(each, safe="") for each in (user, password, service)]
        found = parse("redis+sentinel://{}:{}@one:7000/{}".format(*words))
        assert (found.options["username"], found.options["password"]) == (user, password)
        assert (found.service, found.sentinels) == (service, (("one", 7000),))


class TestWrongForms:
    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("", "not a Redis URL"),
            ("localhost:6379", "not a Redis URL"),
            (f"http://:{SECRET}@h", "not a Redis URL"),
            (f"redis://:{SECRET}@h:seven/0", "not a Redis URL"),
            (f"redis://:{SECRET}@h:99999/0", "not a Redis URL"),
            (f"redis://:{SECRET}#@h/0", "%23"),
            (f"redis://h/0?{SECRET}=1", "no unknown options"),
            (f"redis://:{SECRET}@h/bells", r"a service's name needs redis\+sentinel"),
            (f"redis://:{SECRET}@a,b/0", "several hosts are Sentinels"),
            (f"redis://:{SECRET}@h/0?ssl_ca_certs=/x", "need rediss://"),
            (f"rediss://:{SECRET}@h/0?ssl_cert_reqs=perhaps", "not a Redis URL"),
            (f"rediss://:{SECRET}@h/0?ssl_ca_certs=/none/ca.pem", "ssl_ca_certs: /none/ca.pem"),
            (f"redis+sentinel://:{SECRET}@a,b", "the service's name is missing"),
            (f"redis+sentinel://:{SECRET}@/bells", "a Sentinel is written host:26379"),
            (f"redis+sentinel://:{SECRET}@a,,b/bells", "a Sentinel is written host:26379"),
            (f"redis+sentinel://:{SECRET}@a:x/bells", "a Sentinel's port"),
            (f"redis+sentinel://:{SECRET}@a:0/bells", "a Sentinel is written"),
            (f"redis+sentinel://:{SECRET}@a/bells/zero", "nothing, or the number of a database"),
            (f"redis+sentinel://a/bells?sentinel_secret={SECRET}", "no unknown options"),
            (f"sentinel://:{SECRET}@a/bells", "not a Redis URL"),
        ],
    )
    def test_is_told(self, url: str, said: str) -> None:
        """Each wrong form has its sentence, which names the setting and never the secret."""
        for make in (connect, connect_async):
            with pytest.raises(ConfigError, match=said) as caught:
                make(url)
            assert str(caught.value).startswith("AMILI_REDIS_URL: ")
            assert SECRET not in str(caught.value)

    @given(st.text(max_size=40), st.sampled_from(["", "redis://", "redis+sentinel://"]))
    def test_anything(self, tail: str, head: str) -> None:
        """Whatever is written, the answer is an address or a ConfigError."""
        try:
            described(head + tail)
        except ConfigError as exc:
            said = str(exc)
        else:
            return
        assert said.startswith("AMILI_REDIS_URL: ")


class TestSecrets:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            (f"redis://:{SECRET}@h:1/0", "redis://…h:1/0"),
            (
                f"redis+sentinel://u:{SECRET}@a,b/bells?sentinel_password={SECRET}",
                "redis+sentinel://…a,b/bells?…",
            ),
            (f"redis://h/0?password=p@{SECRET}", "redis://…"),
            (f"redis://:{SECRET}?x@h/0", "redis://…"),
        ],
    )
    def test_config_hides(self, url: str, shown: str) -> None:
        """`config` shows hosts, and no part of a password, well written or not."""
        assert hidden(url) == shown

    def test_representations(self) -> None:
        """What a debugger or a log would print of a client holds no password."""
        url = f"redis+sentinel://u:{SECRET}@a/bells?sentinel_password={SECRET}"
        for each in (parse(url), connect(url), connect(f"redis://:{SECRET}@h"), connect_async(url)):
            assert SECRET not in repr(each)


class TestErrors:
    def test_demoted(self) -> None:
        """A replica's refusal is known in the words of each version, inside a script too."""
        assert is_demoted(redis.ReadOnlyError("You can't write against a read only replica."))
        old = "Error running script: @user_script:1: -READONLY You can't write against a replica."
        assert is_demoted(redis.ResponseError(old))
        assert not is_demoted(redis.ResponseError("wrong number of arguments"))

    def test_explained(self) -> None:
        """The cause is found through what it led to; what nobody knows is named by its kind."""
        error = redis.ConnectionError(f"at {SECRET}")
        error.__cause__ = OSError(111, "Connection refused")
        assert explained(error) == "nobody listens there"
        assert explained(redis.ResponseError(SECRET)) == "ResponseError"
