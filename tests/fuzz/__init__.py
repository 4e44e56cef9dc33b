"""Fuzzing: readers are called with mutated inputs, and may raise nothing but InputError."""
