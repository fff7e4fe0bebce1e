"""Opening hot.duckdb: configuration that no query can change, our macros and the store's own tables.

Durability: DuckDB writes its log with fsync at every commit, so a committed write survives a killed process and a
power cut; the log is folded into the file when it reaches `checkpoint_mb`.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from cloud.stores.local.layout import VERSION, refuse_newer, set_version, version_of
from cloud.stores.local.names import literal
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.transaction import transaction
from tocsin.errors import StoreError, StoreUnavailableError

FILE_NAME = "hot.duckdb"
COLD_NAME = "cold"
SNAPSHOT_NAME = "snapshot"
_SPILL_NAME = "spill"

# now() and date_bin() mean what they mean on InfluxDB 3: UTC without a zone, bins from 1970-01-01.
_SETUP = """
CREATE SCHEMA IF NOT EXISTS recent;
CREATE SCHEMA IF NOT EXISTS meta;
CREATE TABLE IF NOT EXISTS meta.columns(
  measurement VARCHAR, name VARCHAR, type VARCHAR, kind VARCHAR, position INTEGER);
CREATE TABLE IF NOT EXISTS meta.ledger(
  gateway VARCHAR, stream VARCHAR, lo BIGINT, hi BIGINT, rejected BOOLEAN);
CREATE TABLE IF NOT EXISTS meta.cold(
  measurement VARCHAR, day DATE, path VARCHAR, rows BIGINT, t_min BIGINT, t_max BIGINT);
CREATE TABLE IF NOT EXISTS meta.sampled(
  name VARCHAR, measurement VARCHAR, day DATE, made_of VARCHAR[]);
CREATE TABLE IF NOT EXISTS meta.retired(
  measurement VARCHAR, day DATE, gateway VARCHAR, stream VARCHAR, lo BIGINT, hi BIGINT, rows BIGINT,
  files VARCHAR[], at_ns BIGINT);
CREATE TABLE IF NOT EXISTS meta.sorted(measurement VARCHAR, until_ns BIGINT);
CREATE TABLE IF NOT EXISTS meta.looked_after(wall_ns BIGINT);
CREATE TABLE IF NOT EXISTS meta.commits(n BIGINT);
INSERT INTO meta.commits SELECT 0 WHERE NOT EXISTS (SELECT * FROM meta.commits);
CREATE OR REPLACE MACRO now() AS CAST(current_timestamp AS TIMESTAMP);
CREATE OR REPLACE MACRO date_bin
  (stride, t) AS time_bucket(stride, CAST(t AS TIMESTAMP), TIMESTAMP '1970-01-01'),
  (stride, t, origin) AS time_bucket(stride, CAST(t AS TIMESTAMP), CAST(origin AS TIMESTAMP));
"""


def open_database(
    directory: Path, options: LocalOptions, *, read_only: bool = False
) -> duckdb.DuckDBPyConnection:
    """A connection on `directory`'s store, created when missing.

    Raises:
        StoreUnavailableError: another process holds the file.
        StoreError: it cannot be opened.
    """
    path = directory / FILE_NAME
    if read_only and not path.exists():
        raise StoreError(f"no store in {directory}", hint="name the cloud's data directory")
    cold = directory / COLD_NAME
    if not read_only:
        try:
            cold.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(
                f"{cold} cannot be made: {exc.strerror or exc}", hint="may this user write there?"
            ) from exc
    try:
        connection = duckdb.connect(
            str(path),
            read_only=read_only,
            config={
                "python_enable_replacements": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "memory_limit": f"{options.memory_mb}MB",
                "temp_directory": str(directory / _SPILL_NAME),
                "max_temp_directory_size": f"{options.spill_mb}MB",
                "threads": str(options.threads),
                "checkpoint_threshold": f"{options.checkpoint_mb}MB",
            },
        )
    except duckdb.IOException as exc:
        if "lock" in str(exc):
            raise StoreUnavailableError(
                f"{path} is open in another process",
                hint="a running cloud answers queries itself: name its --data directory or its --url; another cloud needs a store of its own",
            ) from exc
        raise StoreError(
            f"{path}: {exc}", hint="may this user read and write it, and is there free space?"
        ) from exc
    except duckdb.Error as exc:
        raise StoreError(f"{path}: {exc}") from exc
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    try:
        refuse_newer(connection, path)
    except StoreError:
        connection.close()
        raise
    if not read_only:
        with transaction(connection):
            connection.execute(_SETUP)
            if version_of(connection) < VERSION:
                set_version(connection, VERSION)
    ours = ", ".join(
        literal(f"{folder.resolve()}/") for folder in (cold, directory / SNAPSHOT_NAME)
    )
    connection.execute(f"SET allowed_directories = [{ours}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
