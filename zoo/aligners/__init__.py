"""Aligners: bring text and picture together before they are fused."""
