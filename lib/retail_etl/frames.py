"""Rows of this process as a frame of Spark's, and back: by Arrow. What PySpark offers for it starts Python workers, to
hand over even a single row.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.serializers import ArrowStreamSerializer
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType, _parse_datatype_string

from retail_etl import spark

_FEW = 20_000


def parsed(schema: str) -> StructType:
    """The schema that Spark's DDL names."""
    struct = _parse_datatype_string(schema)
    if not isinstance(struct, StructType):
        raise TypeError(f"{schema} is the type of a value, not of a row")
    return struct


def of_rows(session: SparkSession, rows: Sequence[tuple[Any, ...]], schema: str) -> DataFrame:
    """A frame of the rows, with a schema as Spark's DDL has it."""
    struct = parsed(schema)
    types = to_arrow_schema(struct)
    columns = zip(*rows, strict=True) if rows else ([] for _ in types)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, types, strict=True)]
    return of_arrow(session, pa.Table.from_arrays(arrays, schema=types).to_batches(), struct)


def of_arrow(session: SparkSession, batches: Iterable[Any], schema: StructType) -> DataFrame:
    """A frame of Arrow's record batches. Few rows are part of its plan; many lie in the JVM."""
    # As PySpark hands over what comes from pandas; it has no name for it that begins without a _.
    context: Any = session.sparkContext
    jvm: Any = session._jvm
    stream = context._serialize_to_jvm(
        batches, ArrowStreamSerializer(), jvm.PythonSQLUtils.readArrowStreamFromFile, jvm.ArrowIteratorServer
    )
    return DataFrame(jvm.PythonSQLUtils.toDataFrame(stream, schema.json(), session._jsparkSession), session)


def settled(rows: DataFrame) -> DataFrame:
    """The same rows, computed once: few of them as a frame of their own, whose plan is no longer than they are; many in
    Spark's cache, until they are unpersisted.
    """
    session = rows.sparkSession
    if spark.is_for_few(session):
        return of_arrow(session, rows._collect_as_arrow(), rows.schema)
    cached = rows.cache()
    if cached.count() > _FEW:
        return cached
    few = of_arrow(session, cached._collect_as_arrow(), rows.schema)
    cached.unpersist()
    return few
