"""What a technician does at a device: look at its frames and samples, find out what is connected."""
