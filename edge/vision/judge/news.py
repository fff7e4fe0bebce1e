"""What comes while a camera is not known yet, and what stood there when it was first looked through. Pure."""

from __future__ import annotations

from edge.vision.judge.calibration import log_odds
from edge.vision.judge.settings import Settings
from edge.vision.judge.tracks import REMEMBERED, Track
from edge.vision.judge.verdict import STRONG_ODDS

_FIRST = 3  # judged frames of a camera
_CLEARER = 2.0  # log-odds
_UNSEEN = 0.3  # what has no box is at most so hot


def came(track: Track, judged: int, settings: Settings) -> bool:
    """Whether it is strong, and far clearer than anything at its place was in the first frames that the camera ever showed. `judged`: frames before this one, in this light.

    Furniture is as clear from the beginning. Where the beginning is forgotten, nobody can say: no.
    """
    if len(track.sightings) >= REMEMBERED:
        return False
    without = judged + 1 - len(track.sightings)
    first = track.sightings[: max(0, _FIRST - without)]
    before = max((s.score for s in first), default=0.0)
    strong = log_odds(settings.limits_of(track.label).start) + STRONG_ODDS
    wanted = max(log_odds(max(before, _UNSEEN)) + _CLEARER, strong)
    return log_odds(track.kth(settings.k, settings.n)) >= wanted
