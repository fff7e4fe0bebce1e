"""What `tocsin vision eval --json` prints."""

from __future__ import annotations

import msgspec

from edge.vision.evaluate.coco import BadLabel

Interval = tuple[float, float] | None


class BoxMeasure(msgspec.Struct, frozen=True):
    """Boxes at one IoU, of the scored frames."""

    recall: float | None
    precision: float | None
    hits: int
    labelled: int
    false_boxes: int


class Measure(msgspec.Struct, frozen=True):
    """Of one class, or of any of them. None: nothing to measure. `_ci`: 95 %, by camera."""

    frames: int  # scored
    positives: int  # with such a box
    negatives: int  # without
    auc: float | None
    auc_ci: Interval
    ap: float | None
    ap_ci: Interval
    calibrated_frames: int  # scored frames of calibrated cameras: the measures below
    calibrated_recall: float | None
    calibrated_recall_ci: Interval
    calibrated_recall_mean: float | None  # each camera counts once
    false_frame_rate: float | None  # of quiet frames
    false_frame_rate_ci: Interval
    false_frames: int
    quiet_frames: int
    boxes: dict[str, BoxMeasure] = {}  # by IoU; all cameras


class CameraMeasure(msgspec.Struct, frozen=True):
    """One class at one camera."""

    threshold: float | None  # None: of `any`, which is raised by the thresholds of its classes
    positives: int
    auc: float | None
    ap: float | None
    recall: float | None
    raised: int  # of the positives
    false_frame_rate: float | None
    false_frames: int


class Camera(msgspec.Struct, frozen=True):
    """One group of frames."""

    group: str
    source: str
    calibrated: bool  # else the thresholds are the model's own
    frames: int  # of the file
    scored: int
    calibration_frames: int
    skipped: int
    quiet_frames: int  # scored ones
    classes: dict[str, CameraMeasure]  # `any`: one of them


class Skipped(msgspec.Struct, frozen=True):
    """A picture that was not looked at."""

    file: str
    reason: str


class Subject(msgspec.Struct, frozen=True):
    """What was measured."""

    name: str
    version: str
    variant: str
    file: str
    sha256: str


class Report(msgspec.Struct, frozen=True):
    """The whole."""

    model: Subject
    coco: str
    images: str
    frames: int
    scored: int
    calibration_frames: int
    share: float  # of quiet frames that a threshold may let through
    box_threshold: float
    classes: dict[str, Measure]
    any: Measure
    sources: dict[str, dict[str, Measure]]  # by `images[].source`, then class or `any`
    cameras: tuple[Camera, ...]
    uncalibrated: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    unknown_classes: tuple[str, ...]  # labelled, and the model does not have them
    rules: tuple[str, ...]
    seconds: float = 0.0
    bad_labels: tuple[BadLabel, ...] = ()  # outside their picture or empty: counted nowhere


RULES = (
    "Frames without a box whose name's SHA-256 ends in an even number teach a camera's thresholds and are never scored.",
    "They also teach what heat is usual at each place of their camera's picture (models with a heat map); a frame is never compared with itself.",
    "Frames are looked at in the order of their names; a reference is made of earlier ones only.",
    "A camera with fewer than 20 quiet frames is not calibrated; it counts in AUC, AP and boxes only.",
    "Ignored regions (iscrowd, of whatever category) are cold for all classes, where no box is labelled.",
    "AUC: Mann-Whitney, ties half. AP: sum of precision x gain in recall, not interpolated. Negatives of a class: frames without a box of it.",
    "Recall: frames with a box of the class whose score exceeds the camera's threshold. False frames: quiet frames that do.",
    "`any`: a box of any class; its score is the highest, and it is raised when one class is.",
    "Intervals: 95 %, 1000 bootstrap draws of whole cameras; thresholds stay as learned.",
)
