"""An audited learner in random systems: compiled, and as a device loop."""

import dataclasses

import numpy as np
from systems import SystemCase

import splitee


def check_in_a_system(one: SystemCase, policy: splitee.CertifiedSplit | splitee.AuditedStopping) -> None:
    """The compiled learner takes the decisions of its device loop, and leads to the same ms, mJ and KB."""
    order = np.tile(one.case.order, 40)[:400]  # long enough to audit, and to certify
    system = dataclasses.replace(one.system, arrivals=None if one.arrivals is None else 25.0)
    trace = one.trace.replace(
        prediction=np.where(
            np.arange(one.trace.samples)[:, None] % 9 > 0, one.trace.prediction[:, -1:], one.trace.prediction
        )
    )
    compiled, live = (
        splitee.replay(trace, each, system, mu=one.case.world.mu, orders=[order], threshold=0.5)
        for each in (policy, policy.live())
    )
    assert compiled.split.tolist() == live.split.tolist()
    assert compiled.offloaded.tolist() == live.offloaded.tolist()
    assert compiled.evaluated.tolist() == live.evaluated.tolist()
    for name in ("latency", "energy", "kilobytes", "missed", "cost"):
        np.testing.assert_array_equal(getattr(compiled, name), getattr(live, name), err_msg=name)
