"""Run everything."""


def up() -> None:
    """Run everything."""
