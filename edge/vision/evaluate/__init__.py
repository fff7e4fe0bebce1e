"""How well a model does on labelled pictures of cameras it never saw. The measures are plain functions of numpy arrays."""
