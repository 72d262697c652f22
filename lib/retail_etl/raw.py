"""The raw zone: the JSON objects of each batch as they were extracted, written by Spark, and read by it or by Arrow.

What there is, and which of it counts, the manifests say (`manifests.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from retail_etl import frames, json_objects, model
from retail_etl.counting import keys_in
from retail_etl.data_files import Part
from retail_etl.errors import StateError
from retail_etl.manifests import STAGES, Manifest, Manifests, folder, now, parsed_folder
from retail_etl.schema import BATCH_ID, SourceTable
from retail_etl.spark import MANY, is_for_few
from retail_etl.values import Values, values_of

__all__ = ["STAGES", "UNREADABLE", "Manifest", "RawZone", "now"]

UNREADABLE = "_unreadable"
CODEC = "lz4"
"""How new objects are compressed, in Hadoop's framing. Old ones may be of another kind: each one's name tells."""


class RawZone(Manifests):
    """The batches of one lake, and their rows."""

    # ------------------------------------------------------------------ rows

    def write(self, rows: DataFrame, table: str, batch_id: int) -> dict[str, int]:
        """Write a frame of one string column, a JSON object a row. Gives object name → bytes."""
        name = folder(table, batch_id)
        rows.write.option("compression", CODEC).text(self.storage.uri(name))
        return self.storage.sizes(name)

    def write_few(self, lines: bytes, table: str, batch_id: int) -> dict[str, int]:
        """Write lines of JSON. Gives object name → bytes."""
        name, data = f"{folder(table, batch_id)}part-00000.txt.{CODEC}", json_objects.in_lz4(lines)
        if not self.storage.create(name, data):
            raise StateError(f"{name} is there, and no batch was to write it before {batch_id}: run again.")
        return {name: len(data)}

    def read(self, spark: SparkSession, table: SourceTable, extract: Manifest, *, copies: bool = False) -> DataFrame:
        """The table's rows of a batch, with the model's schema and a column `_unreadable` (the line, where it is
        no JSON object of that schema).

        Few rows are read at once, by Arrow. `copies`: of many, from what the raw gate parsed, where that is there.
        Only what the manifest names is read; StateError where an object is gone or has another size.
        """
        schema = f"{table.spark_schema('raw')}, `{UNREADABLE}` string"
        if (few := self.few(spark, table, extract)) is not None:
            readable = few.append_column(UNREADABLE, pa.nulls(few.num_rows, pa.string()))
            return frames.of_arrow(spark, readable.to_batches(), frames.parsed(schema))
        uris = [part.uri for part in self.parts(table, extract)]
        if not uris:
            return frames.of_rows(spark, [], schema)
        if copies and (copied := self._copies(table, extract)):
            rows = spark.read.schema(table.spark_schema("raw")).parquet(*copied)
            return rows.withColumn(UNREADABLE, F.lit(None).cast("string"))
        return spark.read.schema(schema).option("columnNameOfCorruptRecord", UNREADABLE).json(uris)

    def few(self, spark: SparkSession, table: SourceTable, extract: Manifest) -> pa.Table | None:
        """The same rows in this process, without that column, where the session is for few and all of them are as the
        extract writes them; else None.
        """
        if not is_for_few(spark) or (extract["tables"][table.name]["rows"] or 0) > MANY:
            return None
        try:
            return pa.concat_tables(rows for part in self.parts(table, extract) for rows in json_objects.rows(part))
        except (json_objects.UnclearError, *json_objects.DAMAGED):
            return None

    def keys_until(self, spark: SparkSession, table: SourceTable, extract: Manifest, moment: str) -> Values:
        """The keys of the table's rows of a batch that were last updated at that moment or before, or nobody knows."""
        few = self.few(spark, table, extract)
        if few is not None:
            is_later = pc.greater(few["last_updated"], moment)
            return values_of(few.filter(pc.invert(pc.fill_null(is_later, fill_value=False)))[table.key])
        last = F.col("last_updated")
        return keys_in(self.read(spark, table, extract).where(last.isNull() | (last <= F.lit(moment))), table.key)

    def to_be_copied(self, parts: Sequence[Part], batch_id: int) -> list[Part]:
        """The parts, each with a place for a copy: see `_copies`."""
        place = parsed_folder(batch_id)
        return [replace(part, copy=self.storage.uri(f"{place}{part.table}/{uuid4()}.parquet")) for part in parts]

    def _copies(self, table: SourceTable, extract: Manifest) -> list[str]:
        """Where the table's rows of a batch lie as the raw gate parsed them: Spark reads Parquet in a third of the time
        that JSON takes it. None where it left none, or not all are there any more.
        """
        batch_id = extract["batch_id"]
        copies: dict[str, int] = (self.manifest(batch_id, "quality_raw") or {}).get("parsed", {}).get(table.name, {})
        if not copies:
            return []
        there = self.storage.sizes(f"{parsed_folder(batch_id)}{table.name}/")
        are_whole = all(there.get(name) == size for name, size in copies.items())
        return [self.storage.uri(name) for name in copies] if are_whole else []

    def named(self, copies: Mapping[str, int]) -> dict[str, int]:
        """The same by their names in the zone instead of their URIs."""
        return {f"parsed/{uri.rpartition('/parsed/')[2]}": size for uri, size in copies.items()}

    def remove_copies(self, batch_id: int) -> None:
        """Remove them, once nobody asks for the rows again."""
        self.storage.remove(list(self.storage.sizes(parsed_folder(batch_id))))

    def parts(self, table: SourceTable, extract: Manifest) -> list[Part]:
        """The table's objects of a batch; StateError where one is gone or has another size."""
        if damage := self.damage(table, extract):
            raise StateError(f"{damage} The next run reads the source again; or restore it.")
        objects: dict[str, int] = extract["tables"][table.name]["objects"]
        return [Part(table.name, self.storage.uri(name), size) for name, size in objects.items()]

    def lines(self, spark: SparkSession, table: SourceTable, extract: Manifest) -> DataFrame:
        """`record_id` and `row` of the table's rows of a batch: the key, and the JSON as it was extracted."""
        objects = extract["tables"][table.name]["objects"]
        text = spark.read.text([self.storage.uri(name) for name in objects])
        key = F.get_json_object("value", f"$.{table.key}").cast("bigint")
        return text.select(key.alias("record_id"), F.col("value").alias("row"))

    def full_copy(self, spark: SparkSession, table: SourceTable, extract: Manifest) -> DataFrame:
        """The whole of a snapshot table as the batch saw it: from this batch, or from the last one that read it."""
        batch_id = extract["tables"][table.name]["full_copy_batch_id"]
        return self.read(spark, table, self.expect_manifest(batch_id, "extract"))

    def history(self, spark: SparkSession, table: SourceTable, extracts: Sequence[Manifest]) -> DataFrame:
        """The table's rows as each of these batches saw them, with `batch_id`: what it read, or, of a snapshot table,
        the full copy that it went by. StateError where an object is gone or has another size.
        """
        entries = [(extract["batch_id"], extract["tables"][table.name]) for extract in extracts]
        read = {batch_id: entry for batch_id, entry in entries if entry["rows"] is not None}
        shown = [(entry.get("full_copy_batch_id", batch_id), batch_id) for batch_id, entry in entries]
        objects: dict[str, int] = {}
        for entry in read.values():
            objects |= entry["objects"]
        found = self.storage.sizes(f"raw/{table.name}/")
        if damaged := [name for name, size in objects.items() if found.get(name) != size]:
            raise StateError(
                f"{len(damaged)} objects are not as they were written, among them {damaged[0]}: restore it."
            )
        schema = f"{table.spark_schema('raw')}, `{BATCH_ID}` bigint"
        if not objects:
            return frames.of_rows(spark, [], schema)
        # What a gate has let through can be read: FAILFAST. The folders give the batch.
        folders = spark.read.schema(schema).options(mode="FAILFAST", basePath=self.storage.uri(f"raw/{table.name}/"))
        rows = folders.json([self.storage.uri(name) for name in objects]).withColumnRenamed(BATCH_ID, "read_in")
        batches = frames.of_rows(spark, shown, f"read_in bigint, {BATCH_ID} bigint")
        return rows.join(F.broadcast(batches), on="read_in", how="inner").drop("read_in")

    # ------------------------------------------------------------------ verdicts

    def write_verdicts(self, events: DataFrame, batch_id: int) -> dict[str, int]:
        """Write the raw gate's verdicts on rows of the batch. Gives object name → bytes."""
        name = f"verdicts/{BATCH_ID}={batch_id}/"
        # Not named by a manifest yet: what a run that was cut off left there did not happen.
        lines = events.coalesce(1).select(F.to_json(F.struct(*events.columns)).alias("value"))
        lines.write.mode("overwrite").option("compression", CODEC).text(self.storage.uri(name))
        return self.storage.sizes(name)

    def verdicts(self, spark: SparkSession, batches: Iterable[int]) -> DataFrame:
        """The raw gate's verdicts on rows of these batches: `model.QUARANTINE` with `batch_id`."""
        objects: dict[str, int] = {}
        for batch_id in batches:
            objects |= self.expect_manifest(batch_id, "quality_raw").get("verdicts", {})
        schema = f"{model.QUARANTINE.spark_schema('raw')}, `{BATCH_ID}` bigint"
        if not objects:
            return _in_lake(frames.of_rows(spark, [], schema))
        found = self.storage.sizes("verdicts/")
        if damaged := [name for name, size in objects.items() if found.get(name) != size]:
            raise StateError(f"{damaged[0]} in {self.location} is not as it was written: restore it from a backup.")
        return _in_lake(
            spark.read.schema(schema).option("mode", "FAILFAST").json([self.storage.uri(name) for name in objects])
        )


def _in_lake(verdicts: DataFrame) -> DataFrame:
    types = {column.name: column.type.lake for column in model.QUARANTINE.columns}
    return verdicts.select(*(F.col(name).cast(kind).alias(name) for name, kind in types.items()), BATCH_ID)
