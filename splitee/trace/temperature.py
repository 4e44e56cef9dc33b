"""Temperature scaling: fit one temperature per exit on the source domain, apply it to a target trace.

The probabilities softmax(z) of an exit become softmax(z / T) with one T > 0 per exit. The ranking of classes
is unchanged, so predictions stay the same; only confidences change, and with them the exit of each sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from splitee._internal.errors import InputError
from splitee.trace import Trace
from splitee.trace.bundled import same_model
from splitee.trace.columns import read_logits
from splitee.trace.threshold import check_rule, recommend_threshold

LOWEST, HIGHEST = 0.05, 20.0  # range of the search
METHOD = "temperature by exit: least mean negative log-likelihood of the source's labels"

Floats = NDArray[np.float64]

# float32 rounds every confidence from this value on to 1: a confidence of 1 gets the logit
# ln(2^25 − 1) ≈ 17.3, not ∞.
_SUREST = 1 - 2.0**-25
_MOST = float(np.finfo(np.float16).max)


def calibrate(trace: Trace, source: Trace) -> Trace:
    """Calibrate every exit of `trace` with temperatures fitted on `source`, and choose a new α on `source`.

    Parameters
    ----------
    trace : Trace
        The target trace; its labels, if any, are not used.
    source : Trace
        The trace of the same model on the validation split of its fine-tuning data (the source domain), with
        labels.

    Returns
    -------
    Trace
        See `apply_temperatures`. Its manifest holds the temperatures and the source under `calibration`, and
        a new `recommended_threshold`, chosen on the calibrated source by the rule that the trace had. A
        temperature at an end of the range is not applied (T = 1): the labels do not determine it. These are
        listed by exit under ``undetermined``.

    Raises
    ------
    InputError
        If one of the traces is calibrated already, holds scores, or (with K > 2) no logits; if they have
        different exits or classes or are known to be of different models; or if the source has no labels.

    Examples
    --------
    >>> source = Trace([[0.9, 0.6]] * 10, [[1, 1]] * 10, [1] * 6 + [0] * 4, "source")  # 60 % are right
    >>> target = calibrate(Trace([[0.99, 0.6]], [[1, 0]], name="target"), source)
    >>> [round(float(c), 3) for c in target.confidence[0]], target.manifest["calibration"]["source"]["name"]
    ([0.7, 0.6], 'source')
    """
    _check_pair(trace, source)
    fitted = fit_temperatures(source)
    undetermined = (fitted < LOWEST * 1.001) | (fitted > HIGHEST / 1.001)
    temperatures = np.where(undetermined, 1.0, fitted)
    made = apply_temperatures(trace, temperatures)
    chosen = recommend_threshold(apply_temperatures(source, temperatures), *_rule(trace))
    facts: dict[str, Any] = {
        "temperatures": temperatures.tolist(),
        "source": {"name": source.name, "fingerprint": source.fingerprint, "samples": source.samples},
        "method": METHOD,
    }
    if undetermined.any():
        facts["undetermined"] = {str(i + 1): float(fitted[i]) for i in np.flatnonzero(undetermined)}
    return made.replace(
        manifest=trace.manifest | {"calibration": facts, "recommended_threshold": chosen.to_dict()}
    )


def fit_temperatures(source: Trace) -> Floats:
    """Fit the temperature of each exit by minimising the mean negative log-likelihood of the labels.

    The probabilities of an exit are softmax(z / T). With two classes z is the logit of the confidence,
    ln C/(1 − C), where a confidence of exactly 1 is replaced by the smallest value that float32 rounds to 1.
    With more classes the trace must hold logits. The likelihood has one maximum in T, searched from 0.05 to
    20. T stays 1 if no value is better.

    Parameters
    ----------
    source : Trace
        n samples with labels.

    Returns
    -------
    ndarray of float, shape (L,)
        Temperatures; above 1 if the exit was overconfident. A value at an end of the range means that the
        labels do not determine T: all answers are right, or no better than chance.

    Raises
    ------
    InputError
        If there are no labels, scores instead of softmax maxima, or no logits with more than two classes.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger (2017). On Calibration of Modern Neural Networks. ICML, section 4.2.

    Examples
    --------
    >>> fit_temperatures(Trace([[0.9, 0.6]] * 10, [[1, 1]] * 10, [1] * 6 + [0] * 4)).round(3).tolist()
    [5.419, 1.0]
    """
    if source.label is None:
        raise InputError(
            f"trace {source.name} has no labels: temperatures are fitted on labelled source data"
        )
    return np.array([_fit(_likelihood(z, source.label)) for z in map(_logits(source), range(source.layers))])


def apply_temperatures(trace: Trace, temperatures: ArrayLike) -> Trace:
    """Divide the logits of each exit by its temperature.

    Parameters
    ----------
    trace : Trace
        n samples, L exits.
    temperatures : array_like, shape (L,)
        Positive. An exit with a temperature of exactly 1 is left unchanged, bit for bit.

    Returns
    -------
    Trace
        With new confidences and, if the trace has these columns, entropies and logits. Predictions, labels,
        the cloud's columns and the manifest are unchanged.

    Raises
    ------
    InputError
        If the temperatures are not L positive numbers, the confidences are scores, or K > 2 and there are no
        logits.

    Examples
    --------
    >>> made = apply_temperatures(Trace([[0.9, 0.9]], [[0, 1]]), [2.0, 1.0])
    >>> made.confidence.tolist() == [[0.75, np.float32(0.9)]], made.prediction.tolist()
    (True, [[0, 1]])
    """
    scales = np.asarray(temperatures, dtype=np.float64)
    if scales.shape != (trace.layers,) or not (np.isfinite(scales) & (scales > 0)).all():
        raise InputError(f"temperatures must be {trace.layers} positive numbers, one per exit")
    logits_of = _logits(trace)
    columns = {
        name: v.copy() for name, v in trace.columns.items() if name in ("confidence", "entropy", "logits")
    }
    for i in np.flatnonzero(scales != 1):
        z = logits_of(int(i)) / scales[i]
        made = dict(zip(("confidence", "entropy"), read_logits(z), strict=False))
        if trace.logits is not None:
            # with two classes, the trace's own logits differ from those derived from the confidence;
            # clip, because the logit of an impossible class may exceed float16
            made["logits"] = np.clip(trace.logits[:, i].astype(np.float64) / scales[i], -_MOST, _MOST)
        for name, values in columns.items():
            values[:, i] = made[name]
    return trace.replace(**columns)


def _check_pair(trace: Trace, source: Trace) -> None:
    """Refuse a source trace whose exits are not those of the target trace."""
    for one in (trace, source):
        if "calibration" in one.manifest:
            raise InputError(f"trace {one.name} is calibrated already: give the uncalibrated trace")
    for what in ("layers", "classes"):
        theirs, ours = getattr(source, what), getattr(trace, what)
        if theirs != ours:
            called = "exits" if what == "layers" else what
            raise InputError(
                f"source {source.name} has {theirs} {called}, {trace.name} has {ours}:"
                " both must come from one model"
            )
    manifests = trace.manifest, source.manifest
    placed = all("exit_layers" in manifest for manifest in manifests)
    if placed and trace.exit_layers != source.exit_layers:
        raise InputError(
            f"source {source.name} has its exits at other layers than {trace.name}:"
            " both must come from one model"
        )
    if same_model(*manifests) is False:
        raise InputError(
            f"source {source.name} is of another model than {trace.name}: their manifests' `model` (or"
            " `training`) differ"
        )


def _rule(trace: Trace) -> list[str]:
    """Return the rule that chose the trace's α, if it is a known rule (importers may write any text)."""
    rule = (trace.manifest.get("recommended_threshold") or {}).get("rule")
    try:
        check_rule(str(rule))
    except InputError:
        return []
    return [str(rule)]


def _logits(trace: Trace) -> Callable[[int], Floats]:
    """Return a function that computes the logits, shape (n, K), of an exit (from 0).

    With two classes they are derived from the confidence, which is finer than a float16 column.
    """
    if not trace.softmax:
        raise InputError(
            f"trace {trace.name} has scores, not softmax probabilities: they have no logits to divide"
        )
    given = trace.logits
    if trace.classes == 2:
        rows = np.arange(trace.samples)

        def of_confidence(i: int) -> Floats:
            sure = np.clip(trace.confidence[:, i].astype(np.float64), 0.5, _SUREST)
            z = np.zeros((trace.samples, 2))
            z[rows, trace.prediction[:, i]] = np.log(sure) - np.log1p(-sure)
            return z

        return of_confidence
    if given is None:
        raise InputError(
            f"trace {trace.name} has {trace.classes} classes and no logits: calibration with more than two"
            " classes needs logits (`splitee precompute` keeps them)"
        )
    likeliest = np.take_along_axis(given, trace.prediction[..., None], axis=2)[..., 0] >= given.max(axis=2)
    if not likeliest.all():
        row, i = np.argwhere(~likeliest)[0]
        raise InputError(
            f"trace {trace.name}: logits at row {row} (from 0), exit {i + 1} (from 1) name another class than"
            " the prediction"
        )
    return lambda i: given[:, i].astype(np.float64)


def _likelihood(z: Floats, label: NDArray[Any]) -> Callable[[float], float]:
    """Return the mean negative log-likelihood of the labels (nats) as a function of T."""
    shifted = z - z[np.arange(len(z)), label][:, None]  # −ln p(label) = ln Σ exp(shifted / T)
    top = shifted.max(axis=1, keepdims=True)

    def loss(temperature: float) -> float:
        total = np.exp((shifted - top) / temperature).sum(axis=1)
        return float((top[:, 0] / temperature + np.log(total)).mean())

    return loss


def _fit(loss: Callable[[float], float]) -> float:
    # the loss is convex in 1/T, so it has one minimum in ln T: Brent's method finds it
    found = minimize_scalar(
        lambda log_t: loss(float(np.exp(log_t))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-7},
    )
    temperature = float(np.exp(found.x))
    return temperature if loss(temperature) < loss(1.0) else 1.0
