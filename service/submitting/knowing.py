"""Whether the invoices that payments and corrections name are known here: asked some at a time."""

from __future__ import annotations

from collections.abc import Callable, Set

from service.errors import StoreError
from service.submitting.problems import Problem, Problems, Severity
from service.submitting.records import Flaw, Record, problem_of

#: Given some ids, it returns those by which no invoice is known.
Unknown = Callable[[Set[str]], Set[str]]
#: Ids that are asked for at once.
TOGETHER = 200
MEMBER = "invoiceId"
WORDS = (
    "no invoice of this id is known here, so that no case is held: is it Amili's id, not the "
    "number? (rule known_invoice)"
)
AWAY = (
    "the database did not answer: whether the invoices are known here was not checked "
    "(rule known_invoice)"
)


class KnownInvoices:
    """Collects ids, asks for them, and tells of each that is not known."""

    def __init__(self, severity: Severity, unknown: Unknown | None) -> None:
        self._severity = severity
        self._unknown = None if severity is Severity.OFF else unknown
        self._waiting: list[tuple[Record, int, str]] = []

    def look(self, record: Record, position: int, invoice_id: str, problems: Problems) -> None:
        """Have the invoice of an item looked up, soon."""
        if self._unknown is None:
            return
        self._waiting.append((record, position, invoice_id))
        if len(self._waiting) == TOGETHER:
            self.ask(problems)

    def ask(self, problems: Problems) -> None:
        """Look up what waits. A database that does not answer is told once, as a warning."""
        waiting, self._waiting = self._waiting, []
        if self._unknown is None or not waiting:
            return
        try:
            missing = self._unknown({invoice_id for _, _, invoice_id in waiting})
        except StoreError:
            self._unknown = None
            problems.keep(Problem(0, 0, "", AWAY, Severity.WARNING))
            return
        for record, position, invoice_id in waiting:
            if invoice_id in missing:
                self._tell(record, position, problems)

    def _tell(self, record: Record, position: int, problems: Problems) -> None:
        flaw = Flaw((MEMBER,), WORDS)
        problems.add(self._severity, lambda: problem_of(record, flaw, self._severity, position))
