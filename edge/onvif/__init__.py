"""The PTZ service of ONVIF cameras, for all that ask it. Needs the extra `onvif`."""
