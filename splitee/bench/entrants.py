"""Entrants of the suite: learners of the package and of the field, each with settings to choose from.

An entrant is a family of policies that differ in a setting. In every cell the setting is chosen on one half
of the trace, and judged on the other. Forms: "published", as in the paper; "released", as in the authors'
code; "corrected", where these do what no device can; "derived", where only an abstract or a summary could be
read (the policy's docstring says what is derived); "ours"; "baseline".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from splitee._internal.errors import InputError
from splitee.bench.rules import fitted_rules, rules_by_context
from splitee.bench.suite import Task
from splitee.policies.base import AnyPolicy
from splitee.policies.names import parse_policies
from splitee.policies.stopping import AuditedStopping

Members = Callable[[Task], Sequence[AnyPolicy]]
DELTAS = ("0.005", "0.01", "0.02")


@dataclass(frozen=True)
class Entrant:
    """A family of policies in the table.

    Attributes
    ----------
    name : str
    members : callable
        Returns the policies among which a setting is chosen, for a `Task`; raises InputError where none of
        them can be played.
    form : {"published", "released", "corrected", "derived", "ours", "baseline"}
    source : str
        Paper or code.
    sees : str
        C confidences, A agreement with the cloud, S the source's validation trace, Q the queue, Y labels;
        nothing means no more than the answer's confidence needs.
    bound : bool
        Whether it reads what no device sees: it is shown, and not ranked.
    """

    name: str
    members: Members
    form: str = "published"
    source: str = ""
    sees: str = "C"
    bound: bool = False


def _named(names: Sequence[str]) -> Members:
    """Return the policies of these names; those that do not fit a cell are left out, unless none fits."""

    def made(task: Task) -> Sequence[AnyPolicy]:
        found: list[AnyPolicy] = []
        why: InputError | None = None
        for name in names:
            try:
                found += parse_policies(name, task)
            except InputError as error:
                why = error
        if not found and why is not None:
            raise why
        return found

    return made


def _at_layers(name: str) -> Members:
    """Return a policy at four layers: the first, a third and two thirds of the device, the last but one."""

    def made(task: Task) -> Sequence[AnyPolicy]:
        m = task.arms
        layers = sorted({1, max(1, m // 3), max(1, 2 * m // 3), max(1, m - 1)})
        return _named([f"{name}:{layer}" for layer in layers])(task)

    return made


def _each(name: str, values: Sequence[str]) -> Members:
    return _named([f"{name}:{value}" for value in values])


def _with_labels(task: Task) -> Sequence[AnyPolicy]:
    return [AuditedStopping(float(delta), loss="error", labels=500, label_cost=1.0) for delta in DELTAS]


_ALPHAS = ("0.6", "0.7", "0.8", "0.9", "0.95", "0.98", "0.99")
_SPLITEE = "2309.09195"


def _one(name: str) -> Members:
    return _named([name])


def _fitted(rule: str, loss: str) -> Members:
    return partial(fitted_rules, rule=rule, loss=loss)


def _at_thresholds(name: str) -> Members:
    """Return a policy at the source's α and at others."""

    def made(task: Task) -> Sequence[AnyPolicy]:
        values = sorted({task.threshold, *map(float, _ALPHAS)})
        return [policy for alpha in values for policy in _one(name)(replace(task, threshold=alpha))]

    return made


ENTRANTS: tuple[Entrant, ...] = (
    # what needs no learning
    Entrant("cloud-only", _one("cloud-only"), "baseline", "", ""),
    Entrant("final exit", _one("final-exit"), "baseline", "", ""),
    Entrant("fixed exit", _one("exits"), "baseline", "ElasticBERT's static use, 2110.07038", ""),
    Entrant("random layer", _one("random"), "baseline"),
    Entrant("fixed split", _one("splits"), "baseline"),
    Entrant("cascade split", _one("cascade-splits"), "baseline"),
    Entrant("fixed rule", _fitted("naive", "error"), "baseline", "mean on labels", "C, Y"),
    Entrant("fixed rule by context", rules_by_context, "ours", "noise of images, length of texts", "C, Y"),
    Entrant("CRC rule", _fitted("crc", "error"), "published", "2208.02814, 2405.20915", "C, Y"),
    Entrant("CRC rule, unlabelled", _fitted("crc", "disagreement"), "published", "2208.02814", "C, A"),
    Entrant("LTT rule", _fitted("ltt", "error"), "published", "2110.01052, 2405.20915", "C, Y"),
    Entrant("LTT rule, unlabelled", _fitted("ltt", "disagreement"), "published", "2110.01052", "C, A"),
    Entrant("UCB-WSR rule", _fitted("ucb-wsr", "error"), "published", "2405.20915", "C, Y"),
    Entrant(
        "UCB-WSR rule, unlabelled", _fitted("ucb-wsr", "disagreement"), "published", "2405.20915", "C, A"
    ),
    Entrant("source split", _one("source-split"), "ours", "", "C, S"),
    Entrant("ElasticBERT", _each("elasticbert", _ALPHAS), "published", "2110.07038"),
    Entrant("ElasticBERT, released", _one("elasticbert-released"), "released", _SPLITEE),
    Entrant(
        "DeeBERT", _each("deebert", ("0.02", "0.05", "0.1", "0.2", "0.4", "0.6")), "published", "2004.12993"
    ),
    Entrant("PABEE", _each("pabee", ("1", "2", "3", "4", "6")), "published", "2006.04152", ""),
    Entrant("BEEM", _each("beem", _ALPHAS), "derived", "2502.00745"),
    Entrant("BEEM, fitted", _named(["beem", "beem-a"]), "ours", "2502.00745", "C, S"),
    Entrant("PCEE", _each("pcee", ("0.9", "0.95", "0.98", "0.99", "0.995")), "derived", "2412.19325", "C, S"),
    # SplitEE and its kin
    Entrant("SplitEE", _one("splitee"), "published", _SPLITEE),
    Entrant("SplitEE, α chosen", _at_thresholds("splitee"), "ours", _SPLITEE),
    Entrant("SplitEE, released", _one("splitee-released"), "released", _SPLITEE),
    Entrant("SplitEE-S", _one("splitee-s"), "corrected", _SPLITEE),
    Entrant("SplitEE-S, α chosen", _at_thresholds("splitee-s"), "ours", _SPLITEE),
    Entrant("SplitEE-S, skipping", _one("splitee-s-skip"), "corrected", _SPLITEE),
    Entrant("SplitEE-S, published", _one("splitee-s-published"), "published", _SPLITEE, "C, C_L", bound=True),
    Entrant("SplitEE-S, released", _one("splitee-s-released"), "released", _SPLITEE, "C, C_L", bound=True),
    Entrant("UCB-tuned", _one("ucb-tuned"), "published", "Auer et al. 2002"),
    Entrant("UCB-tuned, released", _one("ucb-tuned-released"), "released", "2604.24810"),
    Entrant("Thompson", _one("thompson"), "ours", ""),
    Entrant("Thompson, α chosen", _at_thresholds("thompson"), "ours", ""),
    Entrant("KL-UCB", _one("kl-ucb"), "published", "Garivier, Cappé 2011"),
    Entrant("Bayes-UCB", _one("bayes-ucb"), "derived", "Kaufmann et al. 2012"),
    Entrant("UCB-V", _one("ucb-v"), "derived", "Audibert et al. 2009"),
    Entrant("UCB-BwK", _one("ucb-bwk"), "derived", "2604.24810"),
    Entrant("explore-then-commit", _named(["explore-then-commit:100", "explore-then-commit"]), "baseline"),
    Entrant("LinUCB", _one("lin-ucb"), "published", "Li et al. 2010"),
    Entrant("μLinUCB", _one("mu-lin-ucb"), "derived", "ANS, WWW 2021"),
    Entrant("LinUCB, α chosen", _at_thresholds("lin-ucb"), "published", "Li et al. 2010"),
    Entrant("UCB by length", _one("ucb-by-length"), "ours"),
    Entrant("UCB by confidence", _one("ucb-by-confidence"), "ours"),
    Entrant("UCB by link", _one("ucb-by-link"), "ours"),
    Entrant("UCB by backlog", _one("ucb-by-backlog"), "ours", "", "C, Q"),
    # drift and delay
    Entrant("D-UCB", _one("d-ucb"), "published", "Garivier, Moulines 2011"),
    Entrant("SW-UCB", _one("sw-ucb"), "published", "Garivier, Moulines 2011"),
    Entrant("CUSUM-UCB", _one("cusum-ucb"), "derived", "1711.03539"),
    Entrant("GLR-UCB", _one("glr-ucb"), "derived", "Besson et al. 2022"),
    Entrant("restart by confidence", _one("restart-confidence"), "ours"),
    Entrant("restart by share", _one("restart-share"), "ours"),
    Entrant("restart by agreement", _one("restart-agreement"), "ours", "", "C, A"),
    Entrant("delayed UCB", _one("delayed-ucb"), "published", "Joulani et al. 2013"),
    Entrant("QPM-D", _one("qpm-d"), "published", "Joulani et al. 2013"),
    Entrant("late means", _one("late-means"), "ours"),
    # cost subsidy
    Entrant("CS-ETC", _one("cs-etc"), "published", "Sinha et al. 2021", "C, A"),
    Entrant("CS-UCB", _one("cs-ucb"), "published", "Sinha et al. 2021", "C, A"),
    Entrant("PE", _one("pe"), "derived", "2501.10290", "C, A"),
    Entrant("COF", _one("cof"), "derived", "2605.07171", "C, A"),
    # learners of the threshold
    Entrant("AdaEE", _at_layers("adaee"), "released", "Pacheco et al. 2023"),
    Entrant("CeeBERT", _one("ceebert"), "derived", "2405.15039"),
    Entrant("CeeBERT, released", _one("ceebert-released"), "released", "2405.15039"),
    Entrant(
        "buffer-aware AdaEE",
        _named(["buffer-adaee", "buffer-adaee-linear"]),
        "derived",
        "ICLR 2026 sub. 21534",
        "C, Q",
    ),
    Entrant(
        "buffer-aware AdaEE, released",
        _one("buffer-adaee-released"),
        "released",
        "ICLR 2026 sub. 21534",
        "C, Q",
    ),
    Entrant(
        "buffer-aware gradient", _at_layers("buffer-gradient"), "derived", "ICLR 2026 sub. 21534", "C, Q"
    ),
    Entrant("UEE-UCB", _one("uee-ucb"), "corrected", "2209.09480", ""),
    Entrant("UEE-UCB, released", _one("uee-ucb-released"), "released", "2209.09480", ""),
    Entrant("LEE", _one("lee"), "derived", "Ju et al. 2021"),
    Entrant("DEE", _one("dee"), "derived", "CIKM 2021"),
    Entrant("HIL-N", _at_layers("hil-n"), "derived", "2304.00891", "A"),
    Entrant("HIL-F", _at_layers("hil-f"), "derived", "2304.00891", "A of all", bound=True),
    Entrant("H2T2", _at_layers("h2t2"), "derived", "2509.15674", "A"),
    Entrant("HI-LCB", _at_layers("hi-lcb"), "derived", "2508.08985", "C, A"),
    Entrant("HI-LCB-lite", _one("hi-lcb-lite"), "derived", "2508.08985", "C, A"),
    # promises
    Entrant(
        "PCEE online",
        _each("pcee-online", ("0.9", "0.95", "0.98", "0.99", "0.995")),
        "derived",
        "2412.19325",
        "C, A",
    ),
    Entrant("tracked threshold", _each("tracked-threshold", DELTAS), "derived", "Gibbs, Candès 2021", "A"),
    Entrant("certified split", _each("certified", DELTAS), "ours", "", "C, A"),
    Entrant("audited stopping", _each("audited-stopping", DELTAS), "ours", "", "C, A"),
    Entrant("audited stopping, labels", _with_labels, "ours", "", "C, A, Y"),
    # bounds
    Entrant("best split, hindsight", _one("best-split"), "baseline", "", "all", bound=True),
    Entrant("best rule, hindsight", _one("best-rule"), "baseline", "", "all", bound=True),
    Entrant("oracle per sample", _one("oracle"), "baseline", "", "all", bound=True),
    Entrant("link-aware split", _one("link-aware"), "ours", "", "C, S"),
)
