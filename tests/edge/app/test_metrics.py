"""The gateway about itself: readings of a device of its own, and what Prometheus scrapes."""

from __future__ import annotations

import math
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edge.config import load_gateway
from edge.control.client import ask
from edge.prometheus import Metric, Point, text_of
from tests.edge.app.conftest import Start, gateway_toml, port_of, start_line
from tocsin.cli.root import dispatch
from tocsin.errors import ConfigError, ControlError
from tocsin.testing import free_port, wait_until_sync


def parsed(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, as another implementation reads it."""
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def test_readings_command_and_door_tell_the_same(
    tmp_path: Path, start_edge: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    door, path = free_port(), tmp_path / "gateway.toml"
    socket = tmp_path / "data" / "control.sock"
    with ExitStack() as stack:
        toml = gateway_toml(port_of(start_line(stack, 1)))
        toml += "[[checks]]\ndevice = 'gw-1'\nquantity = 'disk_free'\nrange = [1, 1e18]\n"
        metrics = f'[metrics]\nperiod_s = 1\nlisten = "127.0.0.1:{door}"\n'
        edge = start_edge(toml + metrics)

        def values() -> dict[str, Any]:
            try:
                found = msgspec.convert(ask(socket, "values"), list[dict[str, Any]])
            except ControlError:
                return {}
            return {v["quantity"]: v["value"] for v in found if v["device"] == "gw-1"}

        wait_until_sync(lambda: values().get("uptime", 0) >= 1, what=f"{edge.stderr}")
        read = values()
        assert read["rss"] > 10_000_000
        assert read["disk_free"] > 0
        assert (read["unavailable"], read["alarms"], read["dropped"]) == (0, 0, 0)

        def scrape(resource: str = "metrics", method: str = "GET") -> tuple[int, str, str]:
            url = f"http://127.0.0.1:{door}/{resource}"
            try:
                with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
                    return answer.status, answer.headers["Content-Type"], answer.read().decode()
            except urllib.error.HTTPError as exc:
                with exc:
                    return exc.code, "", ""

        status, kind, text = scrape()
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        found = parsed(text)
        up = frozenset({("device", "gas-01"), ("driver", "heads")})
        assert found["tocsin_device_up", up] == 1
        assert found["tocsin_readings_total", frozenset()] > 0
        assert found["process_resident_memory_bytes", frozenset()] > 10_000_000
        assert scrape("")[0] == 404
        assert scrape(method="POST")[0] == 405

        capsys.readouterr()
        assert dispatch(["edge", "metrics", "-c", str(path)]) == 0
        assert parsed(capsys.readouterr().out).keys() == parsed(scrape()[2]).keys()
        assert dispatch(["edge", "metrics", "-c", str(path), "--json"]) == 0
        listed = msgspec.json.decode(capsys.readouterr().out, type=list[Metric])
        assert "tocsin_outbox_bytes" in {m.name for m in listed}

        # by a reload the door closes and the device leaves
        path.write_text(toml.replace("gw-1'", "gas-01'").replace("disk_free", "co"), "utf-8")
        ask(socket, "reload")
        wait_until_sync(lambda: not values())
        with pytest.raises(urllib.error.URLError):
            scrape()
        assert edge.terminate() == 0


@pytest.mark.parametrize(
    ("metrics", "mistake"),
    [
        ('listen = "0.0.0.0:9469"', "beyond this machine"),
        ('listen = "9469"', "address and port"),
        ('device = "gas-01"', "a device of a driver has this id"),
    ],
)
def test_mistakes_in_metrics_are_told(tmp_path: Path, metrics: str, mistake: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f"{gateway_toml(1)}[metrics]\n{metrics}\n", "utf-8")
    with pytest.raises(ConfigError, match=mistake):
        load_gateway(path)
    path.write_text(f'{gateway_toml(1)}[metrics]\nlisten = "0.0.0.0:9469"\nclear = true\n', "utf-8")
    assert load_gateway(path).value.metrics is not None


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,7}", fullmatch=True), st.text(max_size=20)),
    st.floats(allow_nan=False),
    st.text(max_size=30),
)
def test_any_label_value_and_help_are_read_as_they_were_meant(
    labels: dict[str, str], value: float, told: str
) -> None:
    labels = {k: v.replace("\r", "") for k, v in labels.items()}
    text = text_of([Metric("tocsin_x", "gauge", told.replace("\r", ""), [Point(labels, value)])])
    ((key, read),) = parsed(text).items()
    assert key == ("tocsin_x", frozenset(labels.items()))
    assert read == value or math.isinf(value)
