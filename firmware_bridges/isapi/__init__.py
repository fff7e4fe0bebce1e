"""A virtual camera that can be turned and tells where it looks over Hikvision's ISAPI."""
