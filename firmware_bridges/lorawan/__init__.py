"""Payloads of LoRaWAN sensors; what each model's words mean is data (configs/payloads)."""
