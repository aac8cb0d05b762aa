"""A trained run as a model: what is stored of it, how it is loaded, predicts and is shared."""
