"""A confined-space site as processes: gas head, fan, siren, smart lock, gateway, broker, cloud; and the crew who use it."""
