"""Models from the cloud on disk: `data_dir/models/<name>/<id of the offer>/`, and which of them is in use."""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path

import msgspec

from edge.durable import write_durably
from tocsin.contract.rollout import MAX_PART_BYTES, ModelFile, ModelOffer, ModelPart

_log = logging.getLogger("edge.rollout")


class Installed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model from the cloud; `seen_ns` is when the newest offer that was ever taken was issued."""

    id: str = ""  # empty: none is in use
    version: str = ""
    seen_ns: int = 0
    previous: str = ""  # id of the one before
    previous_version: str = ""


class Gathering:
    """One file that comes in parts, in memory: a model is small."""

    def __init__(self, file: ModelFile) -> None:
        self.file = file
        self._data = bytearray(file.size)
        self._missing = set(range(0, file.size, MAX_PART_BYTES))

    def add(self, part: ModelPart) -> bool:
        """Whether it is one of this file that was missing."""
        whole = len(part.data) == min(MAX_PART_BYTES, part.size - part.offset)
        if part.size != self.file.size or not whole or part.offset not in self._missing:
            return False
        self._data[part.offset : part.offset + len(part.data)] = part.data
        self._missing.discard(part.offset)
        return True

    @property
    def whole(self) -> bool:
        """All parts are there."""
        return not self._missing

    def data(self) -> bytes | None:
        """The file, or None: these are not the bytes that were offered, and all of it has to come again."""
        data = bytes(self._data)
        if hashlib.sha256(data).hexdigest() == self.file.sha256:
            return data
        self._missing = set(range(0, self.file.size, MAX_PART_BYTES))
        return None


class ModelStore:
    """The folder. Reads it once; every change is durable before it counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._installed = self._read()

    def installed(self, name: str) -> Installed:
        """What is known of a model."""
        return self._installed.get(name, Installed())

    def folder_of(self, name: str, offer_id: str) -> Path:
        """Where a version lies."""
        return self._folder / name / offer_id

    def write(self, offer: ModelOffer, files: dict[str, bytes]) -> Path:
        """All of a version on the disk, not yet in use.

        Raises:
            OSError: the disk refuses.
        """
        folder = self.folder_of(offer.name, offer.id)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_durably(folder / name, data)
        write_durably(folder / "model.toml", offer.toml.encode())
        return folder

    def use(self, name: str, now: Installed) -> None:
        """This is so from now on; versions that nobody can go back to are removed.

        Raises:
            OSError: the disk refuses.
        """
        state = {**self._installed, name: now}
        self._folder.mkdir(parents=True, exist_ok=True)
        write_durably(self._folder / "state.json", msgspec.json.encode(state))
        self._installed = state
        kept = {now.id, now.previous}
        for folder in (self._folder / name).glob("*/"):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def forget(self, name: str, offer_id: str) -> None:
        """A version that is not used."""
        known = self.installed(name)
        if offer_id not in (known.id, known.previous):
            shutil.rmtree(self.folder_of(name, offer_id), ignore_errors=True)

    def _read(self) -> dict[str, Installed]:
        path = self._folder / "state.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, Installed])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as exc:
            _log.error("%s cannot be read (%s): shipped models are used", path, exc)
            return {}
