"""The process in which libFuzzer runs, which never returns: `python -m tests.fuzz.libfuzzer …`.

It imports nothing of ours before atheris can instrument it.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

#: What is instrumented: everything of ours below the skins.
ROOMS = ["service.amili", "service.domain", "service.intake", "service.submitting"]


def main() -> None:
    """Be libFuzzer, with its own options."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=ROOMS):
        targets = importlib.import_module("tests.fuzz.targets")
    atheris.Setup(sys.argv, targets.run_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
