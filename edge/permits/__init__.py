"""The gateway's side of permits: kept durably, watched by its own readings, stopped alone. docs/reference/edge-permits.md."""
