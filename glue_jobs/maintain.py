"""Maintain: compaction, old snapshots, and what runs that died left behind. Readers see the same rows before and after.

`--dry_run true`: what would go, and nothing is done.
"""

from dataclasses import asdict

from retail_etl import runtime
from retail_etl.errors import ConfigurationError
from retail_etl.lake import Lake
from retail_etl.maintenance import Keep, Maintenance
from retail_etl.raw import RawZone
from retail_etl.runtime import NOTHING_TO_DO, Job, Result


def run(job: Job) -> Result:
    """Maintain the lake's tables, then the raw zone."""
    zone = RawZone(job.option("lake"))
    keep = Keep(_number(job, "keep_days", at_least=0), _number(job, "keep_snapshots", at_least=1))
    if not zone.latest():
        return NOTHING_TO_DO
    lake = Lake.of(job)
    lake.create_missing(filled=zone.has_published())
    maintenance = Maintenance(job.spark, lake, zone, keep, dry_run=job.options.get("dry_run") == "true")
    tables = maintenance.tables(job.progress)
    debris = maintenance.raw_zone()
    report = {
        "tables": {name: asdict(done) for name, done in tables.items()},
        "debris": {"files": len(debris), "bytes": sum(file.bytes for file in debris.values())},
    }
    done = bool(debris) or any(table.changed for table in tables.values())
    rows = sum(table.after.rows for table in tables.values())
    return Result("succeeded" if done else "nothing_to_do", rows, report=report)


def _number(job: Job, name: str, at_least: int) -> int:
    given = job.option(name)
    if not given.isdecimal() or int(given) < at_least:
        raise ConfigurationError(f"--{name} {given} is no number of {at_least} or more.")
    return int(given)


if __name__ == "__main__":
    runtime.main(run, ("lake",), keep_days="7", keep_snapshots="10", dry_run="")
