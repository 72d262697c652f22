"""A write that fails is an error that says what to do, leaves nothing that counts, and is done again by the next run.

A limit on the size of files stands for a full disk: writing beyond it fails for root too.
"""

import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from pyspark import SparkContext

from retail_etl import source_rows, spark
from retail_etl.errors import StorageError
from retail_etl.raw import RawZone
from retail_etl.storage import Storage, open_storage
from scripts.workflow import Run
from tests.integration.world import SOURCE_ROWS, World

Use = Callable[[Storage], object]

THIS_PROCESS = 0
LIMIT = 2 * 2**20  # the JVM may still unpack the native libraries that it writes with
TOO_LARGE = (  # hashes, which no compression makes small
    "UPDATE design SET file_name = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200000) n)"
)


@contextmanager
def no_file_beyond(size: int, process: int = THIS_PROCESS) -> Iterator[None]:
    """Writing beyond fails with EFBIG: both Python and the JVM ignore the signal that tells of it."""
    soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def full_for_spark(world: World) -> Iterator[None]:
    spark.session(world.lake)
    gateway: Any = SparkContext._gateway
    with no_file_beyond(LIMIT, gateway.proc.pid):
        yield


@contextmanager
def full_for_the_manifest_of(stage: str) -> Iterator[None]:
    finish = RawZone.finish

    def finish_on_a_full_disk(zone: RawZone, batch_id: int, finished: str, body: Any) -> None:
        with no_file_beyond(100 if finished == stage else resource.RLIM_INFINITY):
            finish(zone, batch_id, finished, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RawZone, "finish", finish_on_a_full_disk)
        yield


@pytest.mark.integration
@pytest.mark.slow
def test_what_a_full_disk_did_not_take_is_written_by_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.source.run(SOURCE_ROWS)
    world.source.run(TOO_LARGE)
    zone = RawZone(world.lake)

    # What a failed extraction read is read anew, under the next id.
    with monkeypatch.context() as patch, full_for_spark(world):
        patch.setattr(source_rows, "FEW", 0)
        _assert_failed(world.run(), ["succeeded", "failed", *["skipped"] * 4])
    with no_file_beyond(LIMIT):
        _assert_failed(world.run(), ["succeeded", "failed", *["skipped"] * 4])
    with full_for_the_manifest_of("extract"):
        _assert_failed(world.run(), ["succeeded", "failed", *["skipped"] * 4])
    assert [zone.manifest(batch_id, "extract") for batch_id in (1, 2, 3)] == [None, None, None]
    for batch_id in (1, 2):
        assert not list(Path(world.lake, "raw", "design", f"batch_id={batch_id}").rglob("*.lz4"))

    # What it finished is what the later stages take up again.
    assert world.run_job("extract").batch_id == 4
    with full_for_spark(world):
        _assert_failed(world.run(), ["succeeded", "nothing_to_do", "succeeded", "failed", "skipped", "skipped"])
    assert zone.manifest(4, "transform") is None
    with full_for_the_manifest_of("load"):
        _assert_failed(world.run(), ["succeeded", *["nothing_to_do"] * 2, *["succeeded"] * 2, "failed"])
    assert zone.manifest(4, "load") is None

    repaired = world.run()
    assert (repaired.error, repaired.status) == (None, "nothing_changed")
    assert zone.expect_manifest(4, "load")["tables"] == {}  # the rows were in, as the ledger says
    assert world.warehouse.run("SELECT length(file_name) FROM dim_design") == [[32 * 200_000]]
    assert world.warehouse.run("SELECT units_sold FROM fact_sales_order") == [[7]]
    compared = world.reconcile(heal=False)
    assert (compared.error, compared.differs) == (None, False)


def _assert_failed(run: Run, statuses: list[str]) -> None:
    assert [stage.status for stage in run.stages] == statuses
    assert re.fullmatch(
        r"\S.+ \(.*File too large\)\. Check the disk's free space .+, then run again\.", run.error or ""
    )


def test_an_object_that_does_not_fit_on_the_disk_is_not_there(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.create("batches/1/claim.json", b"{}")
    with (
        no_file_beyond(100),
        pytest.raises(StorageError, match=r"batches/1/load.json cannot be written \(File too large\).* run again"),
    ):
        storage.create("batches/1/load.json", b"." * 200)
    assert [path.name for path in (tmp_path / "batches" / "1").iterdir()] == ["claim.json"]


@pytest.mark.parametrize(
    ("use", "done"),
    [
        (lambda storage: storage.create("a/b.json", b"{}"), "a/b.json cannot be written"),
        (lambda storage: storage.replace("a/b.json", b"{}", "version"), "a/b.json cannot be written"),
        (lambda storage: storage.read("a/b.json"), "a/b.json cannot be read"),
        (lambda storage: storage.sizes("a/"), "a/ cannot be read"),
    ],
    ids=["create", "replace", "read", "sizes"],
)
def test_a_bucket_that_refuses_is_named_with_what_to_do(use: Use, done: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        storage = open_storage("s3://gone/lake")
        with pytest.raises(StorageError, match=rf"s3://gone/lake/{done} \(.*NoSuchBucket.*\)\..* run again"):
            use(storage)
