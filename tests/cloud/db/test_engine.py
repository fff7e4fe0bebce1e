"""The state database as rooms use it."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from cloud.db import fold_log, open_engine, upgrade


def test_a_new_file_has_write_ahead_log_and_foreign_keys(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "new" / "state.db")
    with engine.connect() as c:
        assert c.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert c.execute(text("PRAGMA foreign_keys")).scalar() == 1
    engine.dispose()


def test_writers_of_two_engines_wait_for_each_other(tmp_path: Path) -> None:
    meta = MetaData()
    counter = Table("n", meta, Column("id", Integer, primary_key=True))
    engines = [open_engine(tmp_path / "state.db") for _ in range(2)]
    meta.create_all(engines[0])
    failures: list[Exception] = []

    def write(which: int) -> None:
        for _ in range(25):
            try:
                with engines[which].begin() as c:
                    c.execute(select(func.count()).select_from(counter))
                    c.execute(insert(counter))
            except IntegrityError as error:
                failures.append(error)

    threads = [Thread(target=write, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    with engines[0].connect() as c:
        assert c.execute(select(func.count()).select_from(counter)).scalar() == 50
    assert not failures
    for e in engines:
        e.dispose()


def test_upgrade_can_be_called_again(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "state.db")
    upgrade(engine)
    upgrade(engine)
    engine.dispose()


def test_a_postgresql_url_is_accepted_as_it_is() -> None:
    engine = open_engine("postgresql+psycopg://u@127.0.0.1:1/x")
    assert (engine.dialect.name, engine.url.port, engine.url.database) == ("postgresql", 1, "x")
    engine.dispose()


def test_the_log_is_folded_in_beside_an_open_writer_and_not_by_commits(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "state.db")
    meta = MetaData()
    counter = Table("n", meta, Column("id", Integer, primary_key=True), Column("t", String))
    meta.create_all(engine)
    fold_log(engine)
    before = (tmp_path / "state.db").stat().st_size
    for _ in range(3):  # SQLite by itself would fold in at 4 MiB
        with engine.begin() as c:
            c.execute(insert(counter).values(t="x" * (2 << 20)))
    assert (tmp_path / "state.db").stat().st_size == before
    with engine.begin() as c:
        c.execute(insert(counter).values(t=""))
        fold_log(engine)
    assert (tmp_path / "state.db").stat().st_size > before + (3 << 20)
    engine.dispose()
