"""The decoder printed on the page of the wire reads the golden vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.examples import BATCH, STREAM
from tocsin.contract import codec, topics
from tocsin.contract.messages import NS_PER_UNIT

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "contract" / "golden"
PAGE = (ROOT / "docs" / "reference" / "wire.md").read_text("utf-8")

Reading = tuple[int, int, str, str, object, int]


@pytest.fixture(scope="module")
def decoder() -> dict[str, Any]:
    """The functions of the page."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(code.strip().splitlines()) <= 35
    names: dict[str, Any] = {}
    exec(compile(code, "wire.md", "exec"), names)  # noqa: S102 - the page's own code is what is tested
    return names


def expected() -> Iterator[Reading]:
    """The readings of the example, by our own types."""
    seq = BATCH.first_seq
    for group in BATCH.groups:
        codes = {(row, column): code for row, column, code in group.quality}
        for row, offset in enumerate(group.times):
            time_ns = BATCH.t0 + offset * NS_PER_UNIT[BATCH.tu]
            for column, name in enumerate(group.quantities):
                value, code = group.columns[column][row], codes.get((row, column), 0)
                if value is not None or code:
                    yield seq, time_ns, group.device, name, value, code
            seq += 1


@pytest.mark.parametrize("code", ["jn", "jd"])
def test_the_decoder_of_the_page_reads_the_golden_batch(decoder: dict[str, Any], code: str) -> None:
    body: Callable[[bytes], dict[str, Any]] = decoder["body_of"]
    found = list(decoder["readings"](body((GOLDEN / f"batch-{code}.bin").read_bytes())))
    assert found == list(expected())
    assert len(found) == 17


@pytest.mark.parametrize("name", ["alarm", "event"])
def test_the_decoder_of_the_page_reads_the_other_messages(
    decoder: dict[str, Any], name: str
) -> None:
    assert decoder["body_of"]((GOLDEN / f"{name}-jd.bin").read_bytes())["v"] == 1


def test_the_decoder_of_the_page_refuses_damage(decoder: dict[str, Any]) -> None:
    data = bytearray((GOLDEN / "batch-jn.bin").read_bytes())
    data[100] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        decoder["body_of"](bytes(data))
    with pytest.raises(ValueError, match="no header"):
        decoder["body_of"](b"TOC2" + bytes(data[4:]))


def test_the_header_on_the_page_is_the_golden_one() -> None:
    head = (GOLDEN / "batch-jn.bin").read_bytes()[: codec.HEADER_BYTES - 1].decode()
    assert head in PAGE
    assert STREAM in head


def test_the_page_of_topics_names_every_topic() -> None:
    page = (ROOT / "docs" / "reference" / "topics.md").read_text("utf-8")
    classes = [*topics.JOURNALLED, topics.HEALTH, topics.RESUME]
    assert [c for c in classes if f".../up/{c}`" not in page] == []
    for tail in ("state", "down/command", "down/config", "down/ack/<ingester>"):
        assert f".../{tail}`" in page
