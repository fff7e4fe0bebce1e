"""Points by line protocol overwrite field by field, as in InfluxDB."""

from __future__ import annotations

from pathlib import Path

from cloud.query.line_protocol import parse
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.store import LocalStore
from tests.cloud.stores.blocks import T0, block

NOW = 1_700_000_500_000_000_000
DAY = 86_400 * 10**9


def put(store: LocalStore, body: str, precision: str = "ns") -> tuple[int, list[str]]:
    points, bad = parse(body, precision)
    assert bad == []
    written, refused = store.write_points(points, NOW)
    return written, [f"{line.line}: {line.reason}" for line in refused]


def test_a_second_point_of_a_series_and_time_overwrites_the_fields_it_names(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert put(
        store, "h2o,loc=a temp=1.5,level=2i 10\nh2o,loc=b temp=9 10\nh2o,loc=a temp=2.5 10"
    ) == (2, [])
    assert put(store, 'h2o,loc=a level=7i,note="x" 10\nh2o temp=3 10') == (2, [])
    result = store.query("SELECT time, loc, temp, level, note FROM h2o ORDER BY loc NULLS LAST")
    assert result.data == [
        [10, 10, 10],
        ["a", "b", None],
        [2.5, 9.0, 3.0],
        [7, None, None],
        ["x", None, None],
    ]
    store.close()


def test_points_reach_the_rows_that_a_gateway_wrote(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write([block()], [])
    assert put(store, f"gas,site=north,device=gas-01 co=7,h2s=0.25,h2s_q=65i {T0}") == (1, [])
    result = store.query("SELECT h2s, h2s_q, co, stream IS NULL FROM gas ORDER BY time LIMIT 2")
    assert result.data == [[0.25, 1.5], [65, 0], [7.0, None], [False, False]]
    store.close()


def test_a_point_without_time_gets_the_servers(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    put(store, "cpu value=1")
    assert store.query("SELECT time FROM cpu").data == [[NOW]]
    store.close()


def test_lines_that_do_not_fit_are_refused_one_by_one(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, LocalOptions(max_columns=2))
    put(store, "m,t=1 a=1,b=2i 1")
    written, refused = put(
        store,
        "m,t=1 a=2i 2\nm,t=1 a=5 2\nm,a=1 b=1i 3\nm t=1 4\nm c=1 5\nM a=1 6\nm A=1 7\ngas h2s=1i 8\nm b=1u 9",
    )
    assert written == 1
    assert [line.split(":")[0] for line in refused] == ["1", "3", "4", "5", "6", "7", "8", "9"]
    assert "field 'a' is float here, the line says integer" in refused[0]
    assert store.query("SELECT a FROM m ORDER BY time").data == [[1.0, 5.0]]
    store.close()


def test_all_five_types_come_back(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    put(store, f'm f=-1.5e3,i=-9223372036854775808i,u={2**64 - 1}u,b=T,s="q\\"\\\\ ,=雨" 1')
    assert store.query("SELECT f, i, u, b, s FROM m").data == [
        [-1500.0], [-(2**63)], [2**64 - 1], [True], ['q"\\ ,=雨'],
    ]  # fmt: skip
    store.close()


def test_an_archived_row_takes_a_repeat_but_no_change(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, LocalOptions(hot_hours=1))
    put(store, "h2o,loc=a temp=1 10\nh2o,loc=b temp=2 10")
    assert [r.rows for r in store.roll_over(NOW)] == [2]
    assert put(store, "h2o,loc=a temp=1 10") == (1, [])
    written, refused = put(store, "h2o,loc=a temp=5 10\nh2o,loc=c temp=3 10")
    assert (written, len(refused)) == (1, 1)
    assert refused[0].startswith("1: its row is archived")
    assert store.query("SELECT loc, temp FROM h2o ORDER BY loc").data == [
        ["a", "b", "c"],
        [1.0, 2.0, 3.0],
    ]
    store.close()
