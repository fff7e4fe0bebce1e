"""The contract between edge and cloud: messages, topics, units, quality and their bytes. Needs only msgspec."""
