"""Policy files as people write them: good ones, and each kind of bad one with what is said of it."""

HEAD = """
import splitee


class Mine:
    name = "mine"

    def __init__(self, threshold):
        self.threshold = threshold

    def start(self, problem, rng):
        self.rng, self.last = rng, problem.device_exits

    def begin(self, t, context):
        {begin}
        return 1

    def decide(self, exit, confidence, prediction):
        if confidence >= self.threshold:
            return splitee.ANSWER
        return splitee.OFFLOAD

    def learn(self, t, feedback):
        pass
"""
GOOD = HEAD.format(begin="")
MEMBERS = GOOD + "\n\ndef policies(task):\n    return [Mine(task.threshold), Mine(0.99)]\n"
COMPILED = """
from splitee.policies.ucb import SplitEE


def policies(task):
    return SplitEE(task.threshold)
"""
PEEKING = '''
from dataclasses import dataclass

import numpy as np
from splitee.policies.base import Policy
from splitee.policies.fixed import FixedExit
from splitee.policies.played import Actions, Played


@dataclass(frozen=True)
class Peek(Policy):
    """Answers at exit 1 if it will agree with the cloud, which a table shows."""

    name = "peek"

    def live(self):
        return FixedExit(1).live()

    def play(self, table, order, rngs, world):
        agrees = table.prediction[:, 1] == table.prediction[:, 0]
        actions = Actions.of_splits(table.layers, False)
        return Played(np.where(agrees, 1, table.layers + 2).astype(actions.dtype)[order], actions)


def policies(task):
    return Peek()
'''
HIDING = """
        try:
            open('/labels.csv')
        except BaseException:
            pass"""
BAD = {
    "raises": (HEAD.format(begin="[][t]"), "line 15: IndexError"),
    "no_syntax": ("def begin(:", "line 1: SyntaxError"),
    "nothing": ("x = 1", "it has no class with start, begin, decide and learn"),
    "two": (GOOD + GOOD.replace("class Mine", "class Other"), "2 of its classes are policies"),
    "lacks": (GOOD.replace("def learn", "def lern"), "class Mine has no learn: define one"),
    "asks_much": (GOOD.replace("threshold)", "threshold, step)", 1), "made of nothing or of α alone"),
    "makes_none": ("def policies(task):\n    return []\n", "makes no policy"),
    "makes_a_class": (GOOD + "\n\ndef policies(task):\n    return Mine\n", "is a class"),
    "half": (
        "class P:\n    def start(self, p, r): ...\n\n\ndef policies(task):\n    return P()\n",
        "has no begin",
    ),
    "no_layer": (HEAD.format(begin="return 99"), "began round 1 with 99"),
    "never": (HEAD.format(begin="\n        while True:\n            pass"), "did not answer within"),
    "ends": (HEAD.format(begin="import os; os._exit(3)"), "ended its process (status 3)"),
    "reads_traces": (
        HEAD.format(begin="splitee.load_trace('imdb')"),
        "asked for what no device sees: it ",
    ),
    "hides_it": (
        HEAD.format(begin=HIDING),
        "opened /labels.csv",
    ),
    "calls_out": (
        HEAD.format(begin="import socket; socket.create_connection(('127.0.0.1', 9), 1)"),
        "asked for what no device sees",
    ),
    "starts": (HEAD.format(begin="import os; os.system('true')"), "called os.system"),
    "draws_alone": (
        HEAD.format(begin="import random; return random.randint(1, self.last)"),
        "decides otherwise if it is shown one exit at a time",
    ),
    "peeks": (PEEKING, "decides otherwise if it is shown one exit at a time"),
    "bound": (
        "from splitee.policies.hindsight import BestFixedSplit\n\n\ndef policies(task):\n"
        "    return BestFixedSplit(task.threshold)\n",
        "it is a bound",
    ),
}  # fmt: skip
