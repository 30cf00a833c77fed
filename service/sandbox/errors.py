"""The sandbox's own errors: it may not import the product's."""

from __future__ import annotations


class SandboxError(Exception):
    """The sandbox cannot do what its user (not its client) asked."""


class Refused(Exception):
    """The imitated API refuses a call with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ItemFailed(Exception):
    """One item of a batch cannot be registered."""

    def __init__(self, code: str, message: str, field: str) -> None:
        super().__init__(message)
        #: [assumed] members of errors[] in a batch's failed items.
        self.error = {"code": code, "message": message, "field": field}
