"""The retail data platform: totesys (PostgreSQL) to a lake (Iceberg) and a warehouse (PostgreSQL)."""

__version__ = "0.1.0"
