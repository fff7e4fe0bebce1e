"""Takes models from the cloud: a signed offer, its parts, a trial; then the cameras use it from their next frame on."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edge.rollout.store import Gathering, Installed, ModelStore
from tocsin.contract.rollout import (
    APPLIED,
    FELL_BACK,
    MAX_TOML_BYTES,
    REFUSED,
    VERSION,
    ModelOffer,
    decode_offer,
    decode_part,
)
from tocsin.errors import CommandRefusal, ModelError, ModelReason, TocsinError
from tocsin.sdk import Clock

_log = logging.getLogger("edge.rollout")
Say = Callable[[str, str, str, dict[str, object]], None]
Use = Callable[[Path | None], object]
"""Puts the model in a folder in use, None: the shipped or configured one; or raises a `TocsinError`. Called in a thread of its own."""


class ModelDesk:
    """One offer at a time: a newer one replaces one that is still coming."""

    def __init__(
        self,
        folder: Path,
        *,
        site: str,
        gateway: str,
        clock: Clock,
        key: Callable[[], bytes],
        wanted: Callable[[], bool],
        say: Say,
    ) -> None:
        self._store = ModelStore(folder)
        self._site, self._gateway, self._clock = site, gateway, clock
        self._key, self._wanted, self._say = key, wanted, say
        self._offer: ModelOffer | None = None
        self._coming: dict[str, Gathering] = {}
        self._news = asyncio.Event()  # a model is whole, or one failed
        self._failed: list[tuple[str, Path, str]] = []
        self._said_unsigned = False
        self._uses: dict[str, dict[str, list[Use]]] = {}  # by driver, then model
        self._loop: asyncio.AbstractEventLoop | None = None
        self.counters: Counter[str] = Counter()

    def serve(self, driver: str, name: str, use: Use) -> Path | None:
        """The folder of the model from the cloud that is in use; None: use what was shipped or configured. `use` puts a newer
        one in use when it comes, until the driver leaves.
        """
        self._uses.setdefault(driver, {}).setdefault(name, []).append(use)
        known = self._store.installed(name)
        if not known.id:
            return None
        _log.info("driver %s: %s %s from the cloud is in use", driver, name, known.version)
        return self._store.folder_of(name, known.id)

    def leave(self, driver: str) -> None:
        """It begins anew, or is there no more: what it looked with is let go of."""
        self._uses.pop(driver, None)

    async def take_offer(self, payload: bytes) -> None:
        """A message from `down/model`; a wrong one is counted and harms nothing."""
        try:
            offer = decode_offer(payload, self._key())
        except ValueError as exc:
            self.counters["offers_refused"] += 1
            if not self._said_unsigned:
                _log.warning("an offer of a model is refused: %s", exc)
            self._said_unsigned = True
            return
        refusal = self._judged(offer)
        if refusal is None:
            return
        reason, text = refusal
        if reason:
            self._refuse(offer, reason, text)
        elif self._offer is None or self._offer.id != offer.id:
            self._offer = offer
            self._coming = {f.sha256: Gathering(f) for f in offer.files}

    def _judged(self, offer: ModelOffer) -> tuple[str, str] | None:
        """(reason, text) of a refusal, ("", "") for one to be taken; None: nothing is to be said or done."""
        known = self._store.installed(offer.name)
        if (offer.v, offer.site, offer.gateway) != (VERSION, self._site, self._gateway):
            return CommandRefusal.NOT_FOR_US, f"for {offer.site}/{offer.gateway}"
        if not self._wanted():
            text = "this gateway takes no models from the cloud (commands.remote_models)"
            return CommandRefusal.REFUSED, text
        if offer.id == known.id:
            self._tell_applied(offer, known)  # the cloud has not heard it yet
            return None
        if offer.expires_ns <= self._clock.now_ns():
            return CommandRefusal.EXPIRED, "its time is over"
        if offer.issued_ns <= known.seen_ns:
            return CommandRefusal.OLD_VERSION, "a later offer was taken already"
        if len(offer.toml.encode()) > MAX_TOML_BYTES:
            return CommandRefusal.REFUSED, f"a model.toml of more than {MAX_TOML_BYTES} bytes"
        return "", ""

    async def take_part(self, payload: bytes) -> None:
        """A message from `down/model-part`; what belongs to no open offer is counted and dropped."""
        try:
            part = decode_part(payload)
        except ValueError:
            self.counters["parts_refused"] += 1
            return
        file = self._coming.get(part.sha256)
        if file is None or not file.add(part):
            self.counters["parts_dropped"] += 1
            return
        self.counters["parts"] += 1
        if all(f.whole for f in self._coming.values()):
            self._news.set()

    async def run(self) -> None:
        """Take what is whole, until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            self._news.clear()
            while self._failed:
                await self._left(*self._failed.pop(0))
            offer, coming = self._offer, self._coming
            if offer is None or not coming or not all(f.whole for f in coming.values()):
                continue
            files = {f.file.file: f.data() for f in coming.values()}
            if any(data is None for data in files.values()):
                self.counters["parts_refused"] += 1
                _log.warning("parts of model %s are not those that were offered", offer.name)
                continue  # the offer stays; all of it has to come again
            self._offer, self._coming = None, {}
            whole = {name: data for name, data in files.items() if data is not None}
            await self._install(offer, whole)

    async def _install(self, offer: ModelOffer, files: dict[str, bytes]) -> None:
        before = self._store.installed(offer.name)
        now = Installed(offer.id, offer.version, offer.issued_ns, before.id, before.version)
        try:
            await asyncio.to_thread(self._try, offer, files)
            # Known before it is used: a camera may say at once that it failed.
            await asyncio.to_thread(self._store.use, offer.name, now)
            try:
                if (error := await self._all_look_with(offer.name, offer.id)) is not None:
                    raise error
            except Exception:
                self._store.use(offer.name, Installed(before.id, before.version, offer.issued_ns))
                await self._all_look_with(offer.name, before.id)  # some may have it already
                raise
        except Exception as exc:  # noqa: BLE001 - logged by `_why`
            await asyncio.to_thread(self._store.forget, offer.name, offer.id)
            self._refuse(offer, *_why(exc))
            return
        self._tell_applied(offer, now)

    def _try(self, offer: ModelOffer, files: dict[str, bytes]) -> None:
        folder = self._store.write(offer, files)
        from edge.vision.nn.load import load_detector
        from edge.vision.nn.settings import FILE, load_model_file

        told = load_model_file(folder / FILE).value
        if (told.name, told.version) != (offer.name, offer.version):
            raise ModelError(
                ModelReason.UNREADABLE,
                f"model.toml is of {told.name} {told.version}, and {offer.name} {offer.version} was offered",
            )
        load_detector(folder)

    async def _all_look_with(self, name: str, offer_id: str) -> Exception | None:
        """Each driver is asked, whatever others say; "": for the shipped or configured one. The first that cannot."""
        folder = self._store.folder_of(name, offer_id) if offer_id else None
        first: Exception | None = None
        for use in [u for by_model in self._uses.values() for u in by_model.get(name, ())]:
            try:
                await asyncio.to_thread(use, folder)
            except Exception as exc:  # noqa: BLE001 - logged by `_why`
                _log.error("%s: %s", folder or f"the shipped {name}", _why(exc)[1])
                first = first or exc
        return first

    def fell_back(self, name: str, folder: Path, why: str) -> None:
        """Cameras left the version in this folder: all others leave it, too, for the one before, also at the next start. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._heard, name, folder, why)

    def _heard(self, name: str, folder: Path, why: str) -> None:
        self._failed.append((name, folder, why))
        self._news.set()

    async def _left(self, name: str, folder: Path, why: str) -> None:
        known = self._store.installed(name)
        if not known.id or folder != self._store.folder_of(name, known.id):
            return  # several drivers say it
        now = Installed(known.previous, known.previous_version, known.seen_ns)
        self._keep(name, now)
        if await self._all_look_with(name, now.id) is not None and now.id:
            now = Installed(seen_ns=known.seen_ns)
            self._keep(name, now)
            await self._all_look_with(name, "")
        text = f"{name} {known.version} failed, {now.version or 'the shipped one'} is in use: {why}"
        _log.error("%s", text)
        data = {"id": known.id, "name": name, "version": known.version, "to": now.version}
        self._say(FELL_BACK, "", text[:1000], {**data, "why": why[:1000]})

    def _keep(self, name: str, now: Installed) -> None:
        try:
            self._store.use(name, now)
        except OSError as exc:
            _log.error("what is in use cannot be kept: %s", exc)

    def _tell_applied(self, offer: ModelOffer, now: Installed) -> None:
        self.counters["applied"] += 1
        text = f"{offer.name} {now.version} is in use"
        self._say(APPLIED, "", text, {**_told(offer), "before": now.previous_version})

    def _refuse(self, offer: ModelOffer, reason: str, text: str) -> None:
        self.counters["offers_refused"] += 1
        said = f"{offer.name} {offer.version} is refused: {text}"
        _log.warning("%s", said)
        self._say(REFUSED, "", said[:1000], {**_told(offer), "reason": str(reason)})


def _why(exc: Exception) -> tuple[str, str]:
    """(reason, text). A model that nobody foresaw must cost itself alone, not all that come after it."""
    if isinstance(exc, TocsinError):
        return exc.code, str(exc)
    if isinstance(exc, OSError):
        return "folder.unusable", str(exc)
    _log.error("a model could not be tried", exc_info=exc)
    return ModelError.code, f"{type(exc).__name__}: {exc}"


def _told(offer: ModelOffer) -> dict[str, object]:
    return {
        "id": offer.id, "name": offer.name, "version": offer.version, "actor": offer.actor,
    }  # fmt: skip
