"""Start Spark once, so that the jars are in the cache and the first run does not wait for them."""

from retail_etl import spark

if __name__ == "__main__":
    session = spark.session(".local/warm-up")
    session.sql("SELECT 1").collect()
    print(f"Spark {session.version} is ready, its jars are in the cache.")
