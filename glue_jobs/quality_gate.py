"""Quality gate: the model's expectations on each waiting batch. `--layer raw` before the transform, `--layer star`
after it; the star gate publishes what it lets through.
"""

from retail_etl import raw_gate, runtime, star_gate
from retail_etl.errors import ConfigurationError
from retail_etl.raw import RawZone
from retail_etl.runtime import NOTHING_TO_DO, Job, Result

STAGE = {"raw": "quality_raw", "star": "publish"}


def run(job: Job) -> Result:
    """Take the layer's waiting batches in order; one that breaks a critical rule is rejected, with all after it."""
    layer = job.option("layer")
    if layer not in STAGE:
        raise ConfigurationError(f"--layer {layer} is not one of {', '.join(STAGE)}.")
    zone = RawZone(job.option("lake"))
    waiting = zone.waiting(STAGE[layer])
    if not waiting:
        return NOTHING_TO_DO
    if layer == "star":
        return Result("succeeded", sum(star_gate.run(job, zone, batch_id) for batch_id in waiting), tuple(waiting))
    passed = [raw_gate.run(job, zone, batch_id) for batch_id in waiting]
    warnings = tuple(warning for _, warnings in passed for warning in warnings)
    return Result("succeeded", sum(rows for rows, _ in passed), tuple(waiting), warnings=warnings)


if __name__ == "__main__":
    runtime.main(run, ("lake", "layer"), accept_quarantine="", accept_volume="", metrics_namespace="")
