"""zoo: an open research zoo for multimodal named entity recognition."""

__version__ = "0.1.0"
