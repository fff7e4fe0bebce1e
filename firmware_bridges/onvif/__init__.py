"""What ONVIF cameras say of their pan, tilt and zoom, and a virtual one."""
