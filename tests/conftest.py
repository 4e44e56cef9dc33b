"""One hypothesis profile for all tests: no deadlines, so that a slow machine fails nothing."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "splitee",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("splitee")
