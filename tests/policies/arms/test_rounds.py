"""What a round brings (`splitee.policies.arms.rounds`): from the cloud, the device, or late from it."""

from dataclasses import replace

from splitee.policies.arms.rounds import answer_of
from splitee.policies.loop import Feedback


def test_the_answer_is_the_clouds_or_what_the_device_answered_with() -> None:
    offloaded = Feedback((2,), (0.6,), (1,), True, 7.0, 0.9, 0)
    assert answer_of(offloaded) == (2, 0.9, 7.0)
    assert answer_of(replace(offloaded, cloud_confidence=None, cloud_prediction=None)) == (2, 0.6, 7.0)
    assert answer_of(replace(offloaded, offloaded=False, cloud_confidence=None)) == (2, 0.6, 7.0)
    lost = Feedback((), (), (), True, 9.0, None, None, computed_late=(4, 0.8, 1))
    assert answer_of(lost) == (0, 0.8, 9.0)
