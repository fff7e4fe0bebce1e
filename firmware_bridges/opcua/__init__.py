"""What OPC UA servers say, and a virtual one."""
