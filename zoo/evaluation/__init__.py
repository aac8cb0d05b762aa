"""Judging predictions: spans, scores, and what follows from stored predictions."""
