"""The sandbox's own errors: it may not import the product's."""

from __future__ import annotations

from collections.abc import Sequence


class SandboxError(Exception):
    """The sandbox cannot do what its user (not its client) asked."""


class Refused(Exception):
    """The imitated API refuses a call with this status, and perhaps names what is wrong."""

    def __init__(self, status: int, message: str, wrong: Sequence[dict[str, str]] = ()) -> None:
        super().__init__(message)
        self.status = status
        #: [assumed] {code, message, field} of each thing that is wrong; often none.
        self.wrong = wrong


class ItemFailed(Exception):
    """One item of a batch cannot be registered."""

    def __init__(self, code: str, message: str, field: str) -> None:
        super().__init__(message)
        #: [assumed] members of errors[] in a batch's failed items.
        self.error = {"code": code, "message": message, "field": field}
