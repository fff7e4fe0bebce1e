"""HJ 212-2017: text frames of pollution-source monitoring."""
