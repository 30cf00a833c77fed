"""Queues jobs of a contestant: `python -m tests.bench.contestants.fill MODULE FIRST COUNT`."""

from __future__ import annotations

import sys
from importlib import import_module

if __name__ == "__main__":
    module, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    import_module(f"tests.bench.contestants.{module}").fill(range(first, first + count))
