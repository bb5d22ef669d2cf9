"""Features: history and its cut; packing and loading a model's own feature code."""
