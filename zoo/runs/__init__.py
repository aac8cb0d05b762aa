"""Runs: the data they read, what they are, how one is made, and where."""
