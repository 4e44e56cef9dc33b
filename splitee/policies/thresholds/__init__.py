"""Learners of thresholds: when to keep a sample on the device; one file a family."""
