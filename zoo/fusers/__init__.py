"""Fusers: put the views into the units."""
