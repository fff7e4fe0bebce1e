"""Models sent to gateways: a signed offer, and behind it the files that it names, in parts.

The offer holds the whole model.toml and the hash of each file, so a part needs no signature: what is put together is used
only when its hash is the offered one. An offer counts once; one issued before the last that was taken is refused.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from tocsin.contract.messages import Name, Ns, Seq

VERSION = 1
DOWN = "model"  # the class of `down/`: ModelOffer, JSON
DOWN_PART = "model-part"  # ModelPart, msgpack
MAX_PART_BYTES = 64 << 10  # of `data`
MAX_MODEL_BYTES = 8 << 20  # of all files of one model together
MAX_TOML_BYTES = 64 << 10
MAX_OFFER_BYTES = 256 << 10  # JSON escapes quotes and line ends
MAX_FILES = 4
APPLIED, REFUSED, FELL_BACK = "model.applied", "model.refused", "model.fell-back"  # events

Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$")]
ModelName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Id = Annotated[str, Meta(pattern=r"^[0-9A-Z]{26}$")]  # ULID


class ModelFile(msgspec.Struct, frozen=True):
    """One file of a model, beside its model.toml."""

    file: FileName
    sha256: Hash
    size: Annotated[int, Meta(ge=1, le=MAX_MODEL_BYTES)]


class ModelOffer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Use this version of a model. `sig` is the hex HMAC-SHA-256 (RFC 2104) of the JSON, keys sorted, with an empty `sig`."""

    v: int
    site: Name
    gateway: Name
    id: Id
    actor: str
    issued_ns: Ns
    expires_ns: Ns
    name: ModelName
    version: Annotated[str, Meta(min_length=1, max_length=64)]
    toml: str
    files: Annotated[list[ModelFile], Meta(min_length=1, max_length=MAX_FILES)]
    sig: str = ""


class ModelPart(msgspec.Struct, frozen=True):
    """What a file has from byte `offset` on; `size` of the whole."""

    v: int
    sha256: Hash
    offset: Seq
    size: Annotated[int, Meta(ge=1, le=MAX_MODEL_BYTES)]
    data: bytes


_encoder = msgspec.json.Encoder(order="sorted")
_to_offer = msgspec.json.Decoder(ModelOffer)
_to_part = msgspec.msgpack.Decoder(ModelPart)


def encode_offer(offer: ModelOffer, key: bytes) -> bytes:
    """For `down/model`, with its signature."""
    return _encoder.encode(msgspec.structs.replace(offer, sig=_digest(offer, key)))


def decode_offer(payload: bytes, key: bytes) -> ModelOffer:
    """From `down/model`.

    Raises:
        ValueError: it is none, is too large, or its signature does not fit; always for an empty key.
    """
    if len(payload) > MAX_OFFER_BYTES:
        raise ValueError(f"{len(payload)} bytes, {MAX_OFFER_BYTES} allowed")
    offer = _to_offer.decode(payload)
    claimed = offer.sig.encode("utf-8", "replace")
    if not key or not hmac.compare_digest(claimed, _digest(offer, key).encode()):
        raise ValueError("the signature does not fit")
    if sum(f.size for f in offer.files) > MAX_MODEL_BYTES:
        raise ValueError(f"files of more than {MAX_MODEL_BYTES} bytes")
    return offer


def parts(data: bytes) -> Iterator[bytes]:
    """All of a file for `down/model-part`."""
    sha256 = hashlib.sha256(data).hexdigest()
    for offset in range(0, len(data), MAX_PART_BYTES):
        piece = data[offset : offset + MAX_PART_BYTES]
        yield msgspec.msgpack.encode(ModelPart(VERSION, sha256, offset, len(data), piece))


def decode_part(payload: bytes) -> ModelPart:
    """From `down/model-part`.

    Raises:
        ValueError: it is none, or does not fit into what it says it is a part of.
    """
    part = _to_part.decode(payload)
    if not part.data or len(part.data) > MAX_PART_BYTES:
        raise ValueError(f"{len(part.data)} bytes in one part, 1 to {MAX_PART_BYTES}")
    if part.offset % MAX_PART_BYTES or part.offset + len(part.data) > part.size:
        raise ValueError(f"bytes {part.offset} to {part.offset + len(part.data)} of {part.size}")
    return part


def _digest(offer: ModelOffer, key: bytes) -> str:
    body = _encoder.encode(msgspec.structs.replace(offer, sig=""))
    return hmac.new(key, body, hashlib.sha256).hexdigest()
