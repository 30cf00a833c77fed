"""What an error of Redis means for an operator: the cause, and the setting to look at."""

from __future__ import annotations

from collections.abc import Iterator

HOST = (
    "its certificate is for another host: name it in AMILI_REDIS_URL as the certificate does "
    "(Sentinels too name the master so: `sentinel announce-hostnames`)"
)
AUTHORITY = (
    "its certificate is signed by nobody known here: name the CA's file in AMILI_REDIS_URL, "
    "rediss://…?ssl_ca_certs=/path/ca.pem"
)
LOGIN = (
    "it refuses the user or password: look at AMILI_REDIS_URL "
    "(those of Sentinels are sentinel_username and sentinel_password)"
)

#: What to look for in the error's text, and what to say; the first that is found wins.
MEANINGS = (
    ("Hostname mismatch", HOST),
    ("IP address mismatch", HOST),
    ("certificate has expired", "its certificate is over: renew it on the server"),
    ("CERTIFICATE_VERIFY_FAILED", AUTHORITY),
    ("CERTIFICATE_REQUIRED", "it wants a certificate of ours: add ssl_certfile and ssl_keyfile"),
    ("WRONG_VERSION_NUMBER", "it speaks no TLS: AMILI_REDIS_URL says rediss, write redis"),
    ("RECORD_LAYER_FAILURE", "it speaks no TLS: AMILI_REDIS_URL says rediss, write redis"),
    ("WRONGPASS", LOGIN),
    ("NOAUTH", LOGIN),
    ("invalid username-password", LOGIN),
    ("Authentication required", LOGIN),
    ("READONLY", "it is a replica: a fail-over is under way, or AMILI_REDIS_URL names a replica"),
    ("previous master is now", "it is a replica: a fail-over is under way"),
    ("NOREPLICAS", "it has too few replicas to write (min-replicas-to-write)"),
    (
        "No master found",
        "no Sentinel names a healthy master: a fail-over is under way, or the hosts or the "
        "service's name in AMILI_REDIS_URL are wrong",
    ),
    ("maxmemory", "it is full (maxmemory)"),
    ("MISCONF", "it cannot write to its disk"),
    ("reset by peer", "it cut the connection"),
    ("UNBLOCKED", "it is a replica: a fail-over is under way"),
    (
        "Connection closed by server",
        "it closed the connection: it has ended, or it wants TLS (rediss:// in AMILI_REDIS_URL) "
        "or a certificate of ours (ssl_certfile, ssl_keyfile)",
    ),
    ("Connection refused", "nobody listens there"),
    ("not known", "its host name is not known: look at AMILI_REDIS_URL"),
    ("No address associated", "its host name is not known: look at AMILI_REDIS_URL"),
    (
        "handshake operation timed out",
        "it does not answer the handshake of TLS: it hangs, or it speaks no TLS "
        "(AMILI_REDIS_URL says rediss)",
    ),
    ("Timeout", "it did not answer in time"),
)


def explained(error: BaseException) -> str:
    """Say what an error means, in words that hold nothing secret; else the error's kind."""
    said = " ".join(f"{type(each).__name__} {each}" for each in chain(error))
    for needle, meaning in MEANINGS:
        if needle in said:
            return meaning
    return type(error).__name__


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """List an error and what led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
