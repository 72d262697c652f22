"""The fixtures of the integration tests, for tests that break things."""

import pytest

from tests.integration.conftest import connect, database, fences_alone, first_run, loaded, postgres, world

__all__ = ["connect", "database", "fences_alone", "first_run", "loaded", "postgres", "world"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests counted."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
