"""What the endpoints work with."""

from __future__ import annotations

from dataclasses import dataclass

from service.desk.asking import Asking
from service.desk.dead import DeadLetters
from service.desk.handing_over import Handover
from service.desk.quarantine import Quarantined
from service.desk.reading import Reading
from service.desk.submissions import Submissions
from service.desk.writing import Writing
from service.intake.replaying import Replayer
from service.submitting.rules import Rules


@dataclass(frozen=True, slots=True)
class Desk:
    """The use cases behind the API; all are synchronous, so endpoints run them in threads."""

    reading: Reading
    writing: Writing
    asking: Asking
    handover: Handover
    submissions: Submissions
    #: Which checks a submission has to pass.
    rules: Rules
    #: Those that are ours; empty: all.
    organization_ids: tuple[str, ...]
    dead: DeadLetters
    quarantined: Quarantined
    #: The one use case that is asynchronous: it goes through the door.
    replayer: Replayer
