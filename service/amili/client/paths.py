"""How ids are put into a path. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from service.errors import Invalid

LONGEST_ID = 200


def fill(operation: str, template: str, ids: Mapping[str, str]) -> str:
    """Put the ids into the path, quoted; raise Invalid for one that would lead elsewhere."""
    for name, value in ids.items():
        if value in ("", ".", "..") or len(value) > LONGEST_ID or not value.isprintable():
            raise Invalid(f"{name} cannot stand in a path", operation=operation)
    return template.format_map({name: quote(value, safe="") for name, value in ids.items()})
