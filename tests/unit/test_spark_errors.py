import pytest
from pyspark.errors import PySparkException

from retail_etl import spark
from retail_etl.errors import DatabaseError, SparkError

WORKER = """
  An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "core.py", line 143, in _flush
BrokenPipeError: [Errno 32] Broken pipe

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "warehouse.py", line 210, in send
    raise database.explain(error) from error
{}

\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException(PythonRunner.scala:572)
"""
JVM = """An error occurred while calling o81.text.
: org.apache.spark.SparkException: Job aborted due to stage failure: Lost task 0.0 in stage 0.0: {}
\tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2856)
Caused by: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to file:/lake.
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.taskFailedWhileWritingRowsError(QueryExecutionErrors.scala:776)
Caused by: {}
\tat java.base/java.io.FileOutputStream.writeBytes(Native Method)
"""


def _failing(text: str) -> None:
    with spark.explained():
        raise PySparkException(message=text)


def test_an_error_of_ours_in_a_python_worker_is_raised_as_it_was_there() -> None:
    with pytest.raises(DatabaseError, match=r"^The connection to the warehouse was lost: run again\.$"):
        _failing(WORKER.format("retail_etl.errors.DatabaseError: The connection to the warehouse was lost: run again."))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (WORKER.format("ValueError: not a date"), r"^Spark failed \(ValueError: not a date\)\. .* run again\.$"),
        (
            JVM.format(*["java.io.IOException: No space left on device"] * 2),
            r"^Spark failed \(java\.io\.IOException: No space left on device\)\. Check the disk's free space",
        ),
        ("Answer from Java side is empty", r"^Spark failed \(Answer from Java side is empty\)\."),
        ("", r"^Spark failed \(PySparkException\)\."),
    ],
    ids=["worker", "disk", "no JVM", "no text"],
)
def test_what_failed_first_is_said_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(SparkError, match=says) as raised:
        _failing(text)
    assert "\n" not in str(raised.value)


def test_what_the_jdbc_driver_said_is_found_wherever_it_stands() -> None:
    said = JVM.format("org.postgresql.util.PSQLException: I/O error.", "java.io.EOFException")
    assert spark.said_by("org.postgresql.util.PSQLException", PySparkException(message=said)) == "I/O error"
    assert spark.said_by("org.postgresql.util.PSQLException", PySparkException(message="java.io.EOFException")) is None
