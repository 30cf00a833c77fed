"""`python -m workers [--only events|actions|sweeper]`: the supervisor of one worker."""

from __future__ import annotations

import sys

try:
    from service.errors import AmiliEventsError
    from workers.main import main
except KeyboardInterrupt:  # Ctrl-C while the imports run
    sys.exit(130)

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AmiliEventsError as exc:
        sys.exit(f"amili-events worker: {exc}")
    except KeyboardInterrupt:
        sys.exit(130)
