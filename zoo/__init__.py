"""zoo: an open research zoo for multimodal named entity recognition."""

__version__ = "0.2.0"
