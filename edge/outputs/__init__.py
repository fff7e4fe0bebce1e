"""Local outputs that follow the alarms, and local inputs that acknowledge them. They work with the cloud gone."""

from edge.outputs.button import FileButton
from edge.outputs.siren import FileOutput

__all__ = ["FileButton", "FileOutput"]
