"""Where frames come from: streams, snapshots, devices, files. All blocking, each used by one thread."""
