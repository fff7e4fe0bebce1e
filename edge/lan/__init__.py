"""The attendant's page that the gateway itself serves on its LAN, over TLS: it works with the cloud gone."""
