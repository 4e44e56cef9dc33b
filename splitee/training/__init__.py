"""Training of multi-exit models. Importing this package imports torch and transformers (extra `models`)."""
