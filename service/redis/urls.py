"""What AMILI_REDIS_URL may look like, read once for every kind of client.

    redis://[user:password@]host[:6379][/db]              one server
    rediss://…                                            the same, over TLS
    unix:///path
    redis+sentinel://[user:password@]host[:26379],…/SERVICE[/db]
    rediss+sentinel://…                                   TLS to the Sentinels and to the master

Options follow a `?`, named as redis-py names them (`ssl_ca_certs`, `ssl_certfile`, …); for the
Sentinels themselves `sentinel_username` and `sentinel_password`. No error repeats the URL: it
may hold a password.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from redis.connection import parse_url

from service.errors import ConfigError

Wire = Literal["tcp", "tls", "unix"]
SCHEMES: Mapping[str, Wire] = {
    "redis": "tcp",
    "rediss": "tls",
    "unix": "unix",
    "redis+sentinel": "tcp",
    "rediss+sentinel": "tls",
}
SENTINEL_PORT = 26379
OF_SENTINELS = {"sentinel_username": "username", "sentinel_password": "password"}
#: Options that name a file of certificates.
CA_FILE, CERT_FILE, KEY_FILE, KEY_PASSWORD = (
    *("ssl_ca_certs", "ssl_certfile"),
    *("ssl_keyfile", "ssl_password"),
)
FORMS = (
    "it looks like redis://host:6379/0, rediss://… with TLS, unix:///path or "
    "redis+sentinel://host:26379,host:26379/SERVICE, and has no unknown options "
    "(in a password, @ / ? # % are written %40 %2F %3F %23 %25)"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is, and how to speak to it."""

    wire: Wire
    #: Of the server, as redis-py names them.
    options: Mapping[str, Any] = field(repr=False)
    #: The Sentinels to ask, each host and port; empty: the server itself is named.
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    #: Of the Sentinels, as redis-py names them.
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def wrong(why: str) -> ConfigError:
    """Make the error of a URL that cannot be used."""
    return ConfigError(f"AMILI_REDIS_URL: {why}")


def parse(url: str) -> Address:
    """Read a URL. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or parts.fragment:
            raise ValueError
        address = _sentinel(parts) if parts.scheme.endswith("+sentinel") else _server(url, parts)
    except ValueError:
        raise wrong(f"not a Redis URL; {FORMS}") from None
    if address.wire == "tls":
        _demand_files(address.options)
    elif any(name.startswith("ssl_") for name in address.options):
        raise wrong("options that begin with ssl_ need rediss:// or rediss+sentinel://")
    return address


def described(url: str) -> str:
    """Say in words what a URL means beyond one server without TLS; '' when it means just that.

    Raises ConfigError. Nothing secret is told.
    """
    address = parse(url)
    said = []
    if address.sentinels:
        count = len(address.sentinels)
        who = f"{count} Sentinels name" if count > 1 else "one Sentinel names"
        said.append(f"the master of {address.service} that {who}")
    if address.wire == "tls":
        said.append(f"over TLS{_unchecked(address.options)}")
    return ", ".join(said)


def has_sentinels(url: str) -> bool:
    """Tell whether a URL names Sentinels and not the server itself. Raises ConfigError."""
    return bool(parse(url).sentinels)


def _unchecked(options: Mapping[str, Any]) -> str:
    """Name what the URL leaves unchecked of a certificate."""
    if options.get("ssl_cert_reqs", "required") != "required":
        return ", its certificate NOT checked"
    return "" if options.get("ssl_check_hostname", True) else ", its host name NOT checked"


def _server(url: str, parts: SplitResult) -> Address:
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdecimal():
        raise wrong(
            "after the host comes the number of a database, as in redis://host:6379/0; "
            "a service's name needs redis+sentinel://"
        )
    if "," in parts.netloc.rpartition("@")[2]:
        raise wrong("several hosts are Sentinels: write redis+sentinel://host,host/SERVICE")
    return Address(SCHEMES[parts.scheme], _options(url))


def _sentinel(parts: SplitResult) -> Address:
    user, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise wrong(
            "the service's name is missing: redis+sentinel://host:26379,host:26379/SERVICE, "
            "the name that `sentinel monitor` gave it"
        )
    if database and not database.isdecimal():
        raise wrong("after the service's name comes nothing, or the number of a database")
    wire = SCHEMES[parts.scheme]
    plain = f"{'rediss' if wire == 'tls' else 'redis'}://{user}{at}host/{database}?{parts.query}"
    options = _options(plain)
    del options["host"]
    of_sentinels = {OF_SENTINELS[n]: options.pop(n) for n in OF_SENTINELS if n in options}
    if wire == "tls":
        of_sentinels["ssl"] = True
        of_sentinels |= {n: v for n, v in options.items() if n.startswith("ssl_")}
    sentinels = tuple(_sentinel_at(host) for host in hosts.split(","))
    return Address(wire, options, sentinels, unquote(service), of_sentinels)


def _options(url: str) -> dict[str, Any]:
    """Read what redis-py reads; the class of connections is ours to choose. Raises ValueError."""
    untyped: Any = parse_url
    options: dict[str, Any] = untyped(url)
    options.pop("connection_class", None)
    return options


def _sentinel_at(host: str) -> tuple[str, int]:
    """Read `host`, `host:26379` or `[::1]:26379`. Raises ConfigError."""
    try:
        found = urlsplit(f"//{host.strip()}")
        name, port = found.hostname, found.port
    except ValueError:
        raise wrong("a Sentinel's port is no number from 1 to 65535") from None
    if not name or port == 0 or (":" in host and not host.startswith("[") and port is None):
        raise wrong("a Sentinel is written host:26379, several with commas between them")
    return name, port or SENTINEL_PORT


def _demand_files(options: Mapping[str, Any]) -> None:
    """Raise ConfigError for files of certificates that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority := options.get(CA_FILE):
        try:
            context.load_verify_locations(authority)
        except OSError as exc:  # what OpenSSL refuses is one of these too
            raise wrong(f"{CA_FILE}: {authority} {_trouble(exc)}") from None
    certificate, key = options.get(CERT_FILE), options.get(KEY_FILE)
    if key and not certificate:
        raise wrong(f"{KEY_FILE} goes with {CERT_FILE}")
    if certificate:
        try:
            context.load_cert_chain(certificate, key, options.get(KEY_PASSWORD, ""))
        except OSError as exc:
            raise wrong(f"{CERT_FILE} and {KEY_FILE}: {certificate} {_trouble(exc)}") from None


def _trouble(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError):
        return "is no certificate in PEM, or not the key's"
    return f"cannot be read ({exc.strerror})"
