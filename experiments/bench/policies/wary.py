"""The example of docs/bench.md: a cascade whose α follows the cloud's answers."""

import splitee


class Wary:
    """A cascade whose α rises by 0.01 if the cloud contradicts the device, and falls by 0.005 if it agrees."""

    def __init__(self, threshold):
        self.threshold = threshold

    def start(self, problem, rng):  # a new stream: forget everything
        self.alpha, self.last = self.threshold, max(1, problem.device_exits // 2)

    def begin(self, t, context):  # the first exit to evaluate
        return 1

    def decide(self, exit, confidence, prediction):
        if confidence >= self.alpha:
            return splitee.ANSWER
        return exit + 1 if exit < self.last else splitee.OFFLOAD

    def learn(self, t, feedback):  # once the cloud's answer is back
        if feedback.offloaded and feedback.cloud_prediction is not None and feedback.exits:
            agreed = feedback.cloud_prediction == feedback.predictions[-1]
            self.alpha = min(1.0, max(0.5, self.alpha + (-0.005 if agreed else 0.01)))
