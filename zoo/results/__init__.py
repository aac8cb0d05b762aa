"""Stored runs, and the tables that are made from them."""
