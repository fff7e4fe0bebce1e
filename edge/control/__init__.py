"""The Unix socket through which people on the gateway ask and operate a running agent."""
