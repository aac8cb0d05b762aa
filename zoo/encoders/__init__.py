"""Encoders: what reads the words, and what sees the picture. One idea, one file."""
