"""A camera's head over ISAPI, with Digest or Basic access."""

from __future__ import annotations

import http.client

from edge.vision.pose import Turned
from edge.vision.ptz import isapi_status
from edge.vision.ptz.head import Answer
from edge.vision.sources.address import Address
from edge.vision.sources.http_get import HttpGet
from tocsin.errors import DriverReason, LinkError

TIMEOUT_S = 4.0


class IsapiHead:
    """`root`: the camera's web server. `down`: it counts its elevation downwards."""

    def __init__(
        self, root: Address, *, channel: int = 1, down: bool = True, timeout_s: float = TIMEOUT_S
    ) -> None:
        url = f"{root.url.rstrip('/')}/ISAPI/PTZCtrl/channels/{channel}/status"
        self._address = Address(url, root.username, root.password)
        self._down, self._timeout_s = down, timeout_s
        self._get = HttpGet(self._address, timeout_s)

    def ask(self) -> Answer:
        """Within its time, also of a camera whose answer drips.

        Raises:
            LinkError: with the reason.
        """
        with self._get.within(self._timeout_s):
            status = self._status()
        tilt = -status.elevation_deg if self._down else status.elevation_deg
        return Answer(Turned(status.azimuth_deg, tilt, max(1.0, status.zoom or 1.0)))

    def _status(self) -> isapi_status.Status:
        try:
            data = self._get.get().read(isapi_status.MAX_BYTES + 1)
        except (OSError, http.client.HTTPException) as exc:
            raise self._get.failed(exc) from exc
        except LinkError as exc:
            if exc.reason is DriverReason.BAD_FILE:
                raise LinkError(exc.reason, exc.message, hint="`channel`; can this camera be turned?") from exc  # fmt: skip
            raise
        try:
            return isapi_status.read(data)
        except LinkError as exc:
            raise LinkError(exc.reason, f"{self._address}: {exc.message}") from exc

    def end(self) -> None:
        """The question under way fails at once."""
        self._get.abort()

    def close(self) -> None:
        """Ends the connection."""
        self._get.close()
