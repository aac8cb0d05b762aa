"""Checks of the contract that each kind of part keeps: what a plug-in's author runs first."""
