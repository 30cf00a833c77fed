"""What `amili-events` and `python -m service.cli` start."""

from __future__ import annotations

import sys

try:
    from service.cli.main import main
except KeyboardInterrupt:  # the imports take a second, in which somebody may think better of it
    sys.exit(130)

if __name__ == "__main__":
    main()
