"""A small package that is installed beside splitee adds a policy by an entry point."""

import subprocess
import sys
from pathlib import Path

PLUGIN = '''
import splitee


class EveryOther:
    """Offloads every other sample after exit 1."""

    name = "every-other"

    def __init__(self, start=0):
        self.first = start

    def start(self, problem, rng):
        self.problem = problem

    def begin(self, t, context):
        self.t = t
        return 1

    def decide(self, exit, confidence, prediction):
        return splitee.OFFLOAD if (self.t + self.first) % 2 else splitee.ANSWER

    def learn(self, t, feedback):
        pass


def make(setting, start="0"):
    return EveryOther(int(start))
'''


def test_another_package_adds_a_policy(tmp_path: Path) -> None:
    """As pip lays an installed package: the module, and its metadata with the entry point."""
    (tmp_path / "every_other.py").write_text(PLUGIN)
    info = tmp_path / "every_other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: every-other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[splitee.policies]\nevery-other = every_other:make\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import splitee\n"
        "trace = splitee.Trace([[0.6, 0.9]] * 4, [[0, 1]] * 4)\n"
        "for name in ('Every-Other', 'everyother:1'):\n"
        "    print(splitee.replay(trace, name, orders=[range(4)]).offloaded.tolist())\n"
        "print(list(splitee.replay(trace, ['every-other', 'splitee'], repeats=1)))\n"
        "try:\n    splitee.replay(trace, 'every-othr')\n"
        "except splitee.InputError as error:\n    print('did you mean every-other?' in str(error))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    first, second, names, hint = ran.stdout.splitlines()
    assert first == "[[True, False, True, False]]"
    assert second == "[[False, True, False, True]]"
    assert names == "['every-other', 'SplitEE']"
    assert hint == "True"
