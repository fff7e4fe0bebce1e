"""Where a camera that turns and zooms says it looks: asked over ISAPI or ONVIF, never while its pictures wait."""
