"""Extract: what changed in the source since the last batch, as JSON in the raw zone. One batch, one snapshot."""

from retail_etl import detection, extraction, gates, runtime
from retail_etl.raw import RawZone
from retail_etl.runtime import Job, Result
from retail_etl.source import open_snapshot


def run(job: Job) -> Result:
    """Read every table that has something new, in one snapshot; nothing new anywhere makes no batch."""
    zone = RawZone(job.option("lake"))
    accepted = extraction.accepted_deletions(job)
    with open_snapshot(job.database("source"), job.options.get("source_time_zone")) as snapshot:
        detection.check_source(zone, snapshot, job)
        planned = extraction.plan(zone, snapshot, accepted)
        redriven = extraction.redriven(job)
        if (redriven or not planned.is_empty) and zone.held():
            again = gates.keys_to_read(job, zone, redriven)
            planned = extraction.plan(zone, snapshot, accepted, again) if again else planned
        if planned.is_empty:
            return detection.nothing_new(zone, snapshot, accepted)
        batch_id = extraction.extract(job, zone, snapshot, planned)
        return Result("succeeded", planned.rows, (batch_id,), tuple(snapshot.warnings))


if __name__ == "__main__":
    runtime.main(
        run,
        ("lake",),
        source_secret="",
        source_time_zone="",
        accept_deletions="",
        accept_source="",
        accept_contract="",
        redrive="",
    )
