"""A Spark session for the time of a preparation, and Spark's failures in our words.

Where it runs is Spark's own configuration: what `spark-submit` was given, `SPARK_REMOTE`, the files
of `SPARK_CONF_DIR` or `SPARK_HOME`, `PYSPARK_SUBMIT_ARGS`. Where nothing is configured it is this
machine alone, on all cores, with nothing open to the network.
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench.errors import DataError, DependencyError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CONFIGURED = (
    "PYSPARK_GATEWAY_PORT",  # started by spark-submit
    "SPARK_REMOTE",
    "SPARK_CONF_DIR",
    "SPARK_HOME",
    "PYSPARK_SUBMIT_ARGS",
)
"""Environment variables of which one says that Spark is configured."""

ALONE: dict[str, str] = {
    "spark.master": "local[*]",
    "spark.driver.memory": "2g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.extraJavaOptions": "-Dlog4j2.configurationFile="
    + Path(__file__).with_name("spark.log4j2.properties").as_uri(),
}
"""The session on this machine alone, in which the driver does all the work."""

MEANING: dict[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.adaptive.enabled": "true",
}
"""What a preparation rests on, in whatever session: times are UTC, an overflow or a text that is no
number is an error and not a null, and small partitions are put together."""


@contextmanager
def session() -> Iterator[SparkSession]:
    """The Spark session that is there, or one that is opened, and stopped in the end.

    A session that was there goes on afterwards with the settings it had.

    Raises:
        DependencyError: There is no PySpark, or no Java where Spark has to start one.
    """
    sql = _pyspark()
    given = _active(sql)
    with warnings.catch_warnings():
        # Of a library that nothing here goes through.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        spark = given or _opened(sql)
        before = {key: spark.conf.get(key) for key in MEANING}
        try:
            _set(spark, MEANING)
            yield spark
        finally:
            if given is None:
                spark.stop()
            else:
                _set(spark, before)


@contextmanager
def plain_failures(where: str) -> Iterator[None]:
    """Turns what Spark says of a failed job into an error of ours.

    Raises:
        OSError: A disk is full.
        DataError: Anything else, with the first line of Spark's reason.
    """
    failures = _failures()
    try:
        yield
    except failures as error:
        told = str(error)
        if "No space left on device" in told:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where) from error
        raise DataError(
            f"Spark could not carry it out: {_reason(told)}",
            where=where,
            fix="if it ran out of memory, give it more (spark.driver.memory on one machine, "
            "spark.executor.memory on a cluster); -v shows all that Spark says",
        ) from error


def _pyspark() -> Any:
    try:
        from pyspark import sql
    except ImportError as error:
        raise DependencyError(
            "preparing data on Spark needs PySpark", fix="pip install 'tastebench[spark]'"
        ) from error
    return sql


def _active(sql: Any) -> Any:
    from pyspark.errors import PySparkRuntimeError

    try:
        return sql.SparkSession.active()
    except PySparkRuntimeError:  # there is none
        return None


def _opened(sql: Any) -> Any:
    from pyspark.errors import PySparkRuntimeError

    configured = any(os.environ.get(name) for name in CONFIGURED)
    if not configured and not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise _no_java("Spark needs Java, and there is none")
    builder = sql.SparkSession.builder.appName("tastebench")
    for key, value in () if configured else ALONE.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except (PySparkRuntimeError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) or "JAVA_GATEWAY_EXITED" in str(error):
            raise _no_java("Java did not start for Spark; what it said stands above") from error
        raise


def _no_java(what: str) -> DependencyError:
    return DependencyError(
        what,
        fix="install a Java runtime, version 17 or what your PySpark asks for (Debian: apt install "
        "openjdk-17-jre-headless; conda: conda install openjdk=17), or set JAVA_HOME to it",
    )


def _set(spark: Any, settings: Mapping[str, str]) -> None:
    for key, value in settings.items():
        spark.conf.set(key, value)


def _failures() -> tuple[type[Exception], ...]:
    _pyspark()
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return (PySparkException, Py4JError)


def _reason(told: str) -> str:
    """The line of a Java exception that says most: the last cause, or the first line."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by:")]
    line = causes[-1].removeprefix("Caused by:").strip() if causes else (lines or ["nothing"])[0]
    return line[:300]
