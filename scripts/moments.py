"""Moments of a lake's past: which batch readers saw last, and when it was published."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime

from retail_etl.errors import ConfigurationError
from retail_etl.raw import RawZone
from retail_etl.schema import StarTable


@dataclass(frozen=True)
class Moment:
    """When a batch was the newest that readers saw. `published_at`: when the last of its tables was published."""

    batch_id: int
    published_at: datetime

    @property
    def milliseconds(self) -> int:
        """Since 1970, as Iceberg counts."""
        return round(self.published_at.timestamp() * 1000)

    @staticmethod
    def reads_batches(table: StarTable) -> bool:
        """Whether the rows of the moment are those of its batches. Nothing is ever taken from facts and control tables,
        so they are known as long as the lake is; a dimension's rows are, as long as Iceberg keeps the snapshot.
        """
        return table.is_fact or table.is_control


def find_moment(zone: RawZone, text: str) -> Moment:
    """The moment of a batch id, or the one that held at a time (ISO 8601, UTC where it names no zone)."""
    if text.isdecimal():
        moment = _of_batch(zone, int(text))
        if moment is None:
            last = _before(zone, datetime.now(UTC))
            there = f"The newest that is: batch {last.batch_id}" if last else "None is, so far"
            raise ConfigurationError(f"--as-of {text}: batch {text} is not published. {there}.")
        return moment
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--as-of {text}: neither a batch id nor a time such as 2024-03-01T12:00 (UTC, or with a zone)."
        ) from error
    moment = _before(zone, at if at.tzinfo else at.replace(tzinfo=UTC))
    if moment is None:
        raise ConfigurationError(f"--as-of {text}: nothing was published by then.")
    return moment


def _of_batch(zone: RawZone, batch_id: int) -> Moment | None:
    published = zone.manifest(batch_id, "publish")
    return Moment(batch_id, datetime.fromisoformat(published["finished_at"])) if published else None


def _before(zone: RawZone, at: datetime) -> Moment | None:
    """The last moment that began by then: among the batches claimed by then, whose ids have no gaps."""

    def claimed_at(batch_id: int) -> datetime:
        return datetime.fromisoformat(zone.expect_manifest(batch_id, "claim")["claimed_at"])

    claimed = bisect_right(range(1, zone.latest() + 1), at, key=claimed_at)
    moments = (_of_batch(zone, batch_id) for batch_id in range(claimed, 0, -1))
    return next((moment for moment in moments if moment and moment.published_at <= at), None)
