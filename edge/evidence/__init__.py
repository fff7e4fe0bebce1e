"""Pictures and clips: kept in a bounded ring on the disk, sent behind everything else."""

from edge.evidence.desk import EvidenceDesk
from edge.evidence.ring import EvidenceRing

__all__ = ["EvidenceDesk", "EvidenceRing"]
