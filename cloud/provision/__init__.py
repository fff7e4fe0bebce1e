"""Keys, certificates and access rules: an authority of your own, the broker, the cloud, and one identity per gateway."""
