"""The fixtures of the integration tests, for tests that break things."""

from tests.integration.conftest import connect, database, postgres, world

__all__ = ["connect", "database", "postgres", "world"]
