"""What the migrations make is what the rooms' tables say."""

from __future__ import annotations

import io
import re
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from threading import Thread

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

import cloud.db
from cloud.db import metadata, open_engine, upgrade
from cloud.db.upgrade import HEAD, load_tables


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "state.db")
    upgrade(engine)
    load_tables()
    with engine.connect() as c:
        context = MigrationContext.configure(c, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert set(inspect(c).get_table_names()) == {*metadata.tables, "alembic_version"}
    engine.dispose()


def test_the_head_is_the_newest_revision() -> None:
    place = Path(cloud.db.__file__).parent / "migrations"
    assert ScriptDirectory(str(place)).get_current_head() == HEAD


def test_processes_that_start_together_upgrade_once(tmp_path: Path) -> None:
    engines = [open_engine(tmp_path / "state.db") for _ in range(4)]
    failures: list[BaseException] = []

    def run(n: int) -> None:
        try:
            upgrade(engines[n])
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    threads = [Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for engine in engines:
        engine.dispose()


def test_what_is_run_on_postgresql_compares_no_truth_with_a_number() -> None:
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written}
    )
    folder = files("cloud.db.migrations.versions")
    with Operations.context(context):
        for name in sorted(f.name for f in folder.iterdir() if f.name[:4].isdigit()):
            import_module(f"cloud.db.migrations.versions.{name.removesuffix('.py')}").upgrade()
    sql = written.getvalue()
    assert "CREATE TABLE alarms" in sql
    assert "WHERE active;" in sql
    assert not re.search(r"\bIS [01]\b", sql)
