"""What is only assumed about Amili, in one place, and the hosts that are known.

Each [assumed] value can be replaced by an environment variable, its name in upper
case after `AMILI_`, or by a line of the settings file. Nothing is read at import time.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service import settings
from service.amili.schemes import Scheme
from service.errors import ConfigError

PREFIX = "AMILI_"
Environment = Literal["sandbox", "staging", "production"]
#: The operations on a case whose names are known [seed, doc] and whose paths are assumed.
CaseOperation = Literal[
    "pause_case",
    "resume_case",
    "withdraw_case",
    "accept_debt_collection_list",
    "reject_debt_collection_list",
    "accept_eviction_request",
    "reject_eviction_request",
    "accept_eviction_confirmation",
    "reject_eviction_confirmation",
]

#: API base and token endpoint of each environment that is Amili's [doc; seed].
HOSTS: dict[str, tuple[str, str]] = {
    "staging": (
        "https://api.staging.amili.no/collection/v1",
        "https://auth.staging.amili.no/token",
    ),
    "production": (
        "https://api.amili.no/collection/v1",
        "https://auth.amili.no/token",
    ),
}
CASE_PATH = "/orgs/{organizationId}/cases/{caseId}"
HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"
MEMBER_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,99}$"


def _assumed(default: Any, words: str, **bounds: Any) -> Any:
    """Make a field that nobody has read in Amili's documentation."""
    return Field(default, description=f"[assumed] {words}", **bounds)


def _documented(default: Any, words: str, **bounds: Any) -> Any:
    """Make a field that was read in Amili's documentation."""
    return Field(default, description=f"[doc] {words}", **bounds)


def _path(path: str) -> str:
    """Check that a text can stand in a URL after the host."""
    if not path.startswith("/") or not set(path).isdisjoint("?# \\"):
        raise ValueError("must start with / and have no query, fragment or space")
    return path


def _plain_path(path: str) -> str:
    """Check a path that names nothing."""
    if not set(_path(path)).isdisjoint("{}"):
        raise ValueError("must not contain { or }")
    return path


def _case_path(path: str) -> str:
    """Check that a path template names exactly the organization and the case."""
    _path(path)
    rest = path.replace("{organizationId}", "").replace("{caseId}", "")
    once = len(path) - len(rest) == len("{organizationId}{caseId}")
    if not once or not set(rest).isdisjoint("{}"):
        raise ValueError("must contain {organizationId} and {caseId}, each once, and no other")
    return path


CasePath = Annotated[str, AfterValidator(_case_path)]
PlainPath = Annotated[str, AfterValidator(_plain_path)]
HttpUrl = Annotated[str | None, AfterValidator(settings.http_url)]


class Contract(BaseSettings):
    """The parts of the contract that a user may have to correct; immutable once read."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    signature_scheme: Scheme = _assumed("hmac-sha256-hex", "How deliveries are signed.")
    signature_header: str = _documented(
        "X-Webhook-Signature", "Carries the signature.", pattern=HEADER_NAME
    )
    signature_tolerance_seconds: float = _assumed(
        300, "Greatest distance between a signed time and now.", gt=0, le=86_400
    )
    standard_id_header: str = _assumed(
        "webhook-id", "Scheme standard-webhooks: the message id.", pattern=HEADER_NAME
    )
    standard_timestamp_header: str = _assumed(
        "webhook-timestamp", "Scheme standard-webhooks: the time.", pattern=HEADER_NAME
    )
    standard_signature_header: str = _assumed(
        "webhook-signature", "Scheme standard-webhooks: the signatures.", pattern=HEADER_NAME
    )

    event_header: str = _documented("X-Amili-Event", "The event's type.", pattern=HEADER_NAME)
    request_id_header: str = _documented(
        "X-Amili-Request-Id", "Id of one request; assumed on answers.", pattern=HEADER_NAME
    )
    idempotency_header: str = _assumed(
        "IdempotencyKey",
        "Key of a delivery [doc]; assumed to work on every POST to Amili too.",
        pattern=HEADER_NAME,
    )
    read_lag_seconds: float = _assumed(
        10, "A read that began sooner after a call disproves nothing.", ge=0, le=3600
    )

    path_pause_case: CasePath = _assumed(f"{CASE_PATH}/pause", "PauseCase.")
    path_resume_case: CasePath = _assumed(f"{CASE_PATH}/resume", "ResumeCase.")
    path_withdraw_case: CasePath = _assumed(f"{CASE_PATH}/withdraw", "WithdrawCase.")
    path_accept_debt_collection_list: CasePath = _assumed(
        f"{CASE_PATH}/debt-collection-list/accept", "AcceptDebtCollectionList."
    )
    path_reject_debt_collection_list: CasePath = _assumed(
        f"{CASE_PATH}/debt-collection-list/reject", "RejectDebtCollectionList."
    )
    path_accept_eviction_request: CasePath = _assumed(
        f"{CASE_PATH}/eviction-request/accept", "AcceptEvictionRequest."
    )
    path_reject_eviction_request: CasePath = _assumed(
        f"{CASE_PATH}/eviction-request/reject", "RejectEvictionRequest."
    )
    path_accept_eviction_confirmation: CasePath = _assumed(
        f"{CASE_PATH}/eviction-confirmation/accept", "AcceptEvictionConfirmation."
    )
    path_reject_eviction_confirmation: CasePath = _assumed(
        f"{CASE_PATH}/eviction-confirmation/reject", "RejectEvictionConfirmation."
    )
    case_reason_member: str = _assumed(
        "reason", "Member of a case operation's body.", pattern=MEMBER_NAME
    )
    case_comment_member: str = _assumed(
        "comment", "Member of a case operation's body.", pattern=MEMBER_NAME
    )
    payment_date_member: str = _assumed(
        "paymentDate", "Member of a payment that is handed over.", pattern=MEMBER_NAME
    )
    payment_reference_member: str = _assumed(
        "reference", "Member of a payment that is handed over.", pattern=MEMBER_NAME
    )

    legacy_base_url: HttpUrl = _assumed(
        None, "Base of the legacy operations; unset: the API base, as of all others."
    )
    path_legacy_batch: PlainPath = _assumed(
        "/webapi/api/Batch", "Below the legacy base; the path itself was read [seed, doc]."
    )
    path_legacy_attachment: PlainPath = _assumed(
        "/webapi/api/Attachment", "Below the legacy base; that it is a GET is assumed, too."
    )
    path_legacy_ping: PlainPath = _assumed(
        "/webapi/api/Ping", "Below the legacy base; that it is a GET was read [seed]."
    )

    def case_path(self, operation: CaseOperation) -> str:
        """Name the path template of one case operation."""
        return self.path(f"path_{operation}")

    def path(self, field: str) -> str:
        """Read the path template that stands in a field."""
        template: str = getattr(self, field)
        return template

    def payment_names(self) -> dict[str, str]:
        """Map our names of a payment's assumed members to Amili's."""
        return {
            "paymentDate": self.payment_date_member,
            "reference": self.payment_reference_member,
        }


def load(**given: Any) -> Contract:
    """Read the contract from the environment and the settings file; `given` values win.

    Raises ConfigError with one line for each variable that is wrong.
    """
    try:
        return Contract(**settings.sources(), **given)
    except ValidationError as exc:
        lines = (f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in exc.errors())
        raise ConfigError("\n".join(lines).replace(": Value error, ", ": ")) from exc


def api_base_url(environment: Environment) -> str:
    """Name the base URL of the API [doc; seed]; ConfigError for the sandbox, which has no host."""
    return _hosts(environment)[0]


def token_url(environment: Environment) -> str:
    """Name the token endpoint [doc]; ConfigError for the sandbox, which has no host."""
    return _hosts(environment)[1]


def _hosts(environment: str) -> tuple[str, str]:
    if environment not in HOSTS:
        raise ConfigError(
            f"{PREFIX}ENVIRONMENT={environment} has no host of its own: set {PREFIX}API_BASE_URL"
            f" and {PREFIX}TOKEN_URL, or run `amili-events up`"
        )
    return HOSTS[environment]
