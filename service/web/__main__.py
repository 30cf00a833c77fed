"""`python -m service.web`: the door, as a process of its own."""

from __future__ import annotations

import sys

try:
    from service import settings
    from service.errors import AmiliEventsError
    from service.web.serving import serve
except KeyboardInterrupt:  # Ctrl-C while the imports run
    sys.exit(130)

if __name__ == "__main__":
    try:
        settings.keep_private()
        serve(settings.load())
    except AmiliEventsError as exc:
        sys.exit(f"amili-events serve: {exc}")
    except KeyboardInterrupt:  # uvicorn has ended in good order, and says so in this way
        sys.exit(130)
