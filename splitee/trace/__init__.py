"""Traces: the recorded output of every exit of a model for every sample."""

from splitee.trace.bundled import bundled_traces
from splitee.trace.joining import concatenate, with_cloud
from splitee.trace.trace import Trace, from_bytes, load_trace

__all__ = ["Trace", "bundled_traces", "concatenate", "from_bytes", "load_trace", "with_cloud"]
