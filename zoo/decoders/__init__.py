"""Decoders: from units to entities."""
