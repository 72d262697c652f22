"""Start Spark once, so that the jars are in the cache and the first run does not wait for them.

`--s3`: with those for lakes on S3, 340 MB more, which deployed workflows need where they run here.
"""

import sys

from retail_etl import spark

if __name__ == "__main__":
    session = spark.session("s3://warm-up" if "--s3" in sys.argv[1:] else ".local/warm-up")
    session.sql("SELECT 1").collect()
    print(f"Spark {session.version} is ready, its jars are in the cache.")
