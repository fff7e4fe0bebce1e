"""Orders to locks: what is revoked, the issuer's next key and the time, made here, sent by gateways, followed until the lock answered."""
