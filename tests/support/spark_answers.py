"""Asks Spark, in an environment of its own that has nothing of this project: `spark_answers.py JARS`.

What is asked comes as JSON on stdin: `settings` of Spark, and `questions` in SQL. The answer to each is a line of JSON:
its rows as texts, or why it was refused.
"""

import json
import sys
from pathlib import Path

from pyspark.errors import PySparkException  # type: ignore[import-not-found,unused-ignore]
from pyspark.sql import SparkSession  # type: ignore[import-not-found,unused-ignore]

asked = json.load(sys.stdin)
builder = SparkSession.builder.master("local[1]")
for name, value in {
    "spark.jars": ",".join(str(jar) for jar in sorted(Path(sys.argv[1]).glob("*.jar"))),
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.shuffle.partitions": "1",
    "spark.ui.enabled": "false",
    "spark.driver.memory": "768m",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    **asked["settings"],
}.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
for question in asked["questions"]:
    answer: dict[str, object]
    try:
        answer = {"rows": [[repr(value) for value in row] for row in spark.sql(question).collect()]}
    except PySparkException as error:
        answer = {"refused": str(error)[:500]}
    except Exception as error:  # noqa: BLE001  # an error of Java comes as one of py4j
        answer = {"refused": str(error)[:3000]}
    sys.stdout.write(json.dumps(answer) + "\n")
spark.stop()
