"""Objectives: losses that need the system more than once. One idea, one file."""
