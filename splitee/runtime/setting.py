"""The setting of a run: model, policy, costs. A device and `splitee verify-log` make the same rules of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.costs import CostModel
from splitee.policies import names
from splitee.policies.base import Policy, display_name
from splitee.policies.loop import DeviceLoop, Feedback
from splitee.policies.problem import Problem
from splitee.policies.setting import Setting as PolicySetting
from splitee.runtime.records import Record
from splitee.system.codec import rows_shape
from splitee.system.link import Link
from splitee.system.profile import DeviceProfile
from splitee.system.system import System, SystemOn
from splitee.system.world import INPUT, World, in_rounds, offload_costs, sends_state, time_of
from splitee.trace import Trace, load_trace
from splitee.trace.bundled import find_source

Floats = NDArray[np.float64]
MU = 0.1  # points of confidence per λ


@dataclass(frozen=True)
class Setting:
    """What a run is of, as JSON values; it stands in the log.

    Attributes
    ----------
    model : dict
        The facts of the device's half.
    policy : str
        A name that `splitee.policies.names` reads.
    threshold, exploration : float
        α and β.
    send_input : bool
        Whether learners may offload the input.
    costs, system : dict or None
        A `CostModel` or a `System`: one of them.
    mu : float or None
        μ. None: 0.1 per λ.
    sends, codec : str
        What an offload sends where there is no system, and how states are encoded.
    typical_tokens, typical_bytes : int
        The length of text, or the size of image file, for which λ and constant costs near those of a system
        are meant.
    seed : int
        Of the policy's random numbers.
    source : str or None
        Name or file of the source's validation trace.
    arrivals : str, float or None
        When samples arrive, as a `System` has it; None: when the one before is answered, or from a stream.
    deadline : float or None
        ms after which the device answers by itself.
    one_at_a_time : bool
        Whether a sample begins when the one before it is answered.
    every_exit : bool
        Whether the device evaluates its other exits too, after it has answered.
    """

    model: dict[str, Any]
    policy: str
    threshold: float
    exploration: float = 1.0
    send_input: bool = False
    costs: dict[str, Any] | None = None
    system: dict[str, Any] | None = None
    mu: float | None = None
    sends: str = "cheaper"
    codec: str = "float16"
    typical_tokens: int = 32
    seed: int = 0
    source: str | None = None
    arrivals: str | float | None = None
    deadline: float | None = None
    one_at_a_time: bool = True
    every_exit: bool = False
    typical_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, document: Any) -> Setting:
        """Read what `to_dict` wrote; InputError if it is damaged."""
        try:
            return cls(**document)
        except TypeError as error:
            raise InputError(f"its setting cannot be read ({error}): is it of another version?") from error


class Rules:
    """What a device knows before the first sample, and what a sample costs.

    Parameters
    ----------
    setting : Setting

    Raises
    ------
    InputError
        If the policy does not exist, cannot run on this device, or the costs do not fit the model.

    Attributes
    ----------
    policy : Policy or DeviceLoop
    problem : Problem
    world : World
        Sample s of a system has s + 1 tokens; of images there is one sample, whose file differs in size.
        Without a system all samples cost the same.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting, self.exits = setting, len(setting.model["exits"])
        self.held, self.classes = setting.model["device_exits"], len(setting.model["classes"])
        self.codec = setting.codec
        self.world: World
        self.system = None if setting.system is None else system_of(setting.system, self.held)
        if self.system is None:
            self._constant(CostModel(**(setting.costs or {})))
        else:
            self._timed(self.system)
        self.policy = self._policy()
        self.name = display_name(self.policy)
        if isinstance(self.policy, Policy):
            if (deepest := self.policy.deepest(self.exits, self.held)) > self.held:
                raise InputError(
                    f"{self.name} needs exit {deepest}, and the device holds {self.held}: give more "
                    "--device-layers, or a policy that offloads"
                )
            self.world = self.policy.placed(self.world)

    def loop(self) -> DeviceLoop:
        """Return the policy as a device loop, at the start of a stream."""
        loop = self.policy.live() if isinstance(self.policy, Policy) else self.policy
        loop.start(self.problem, np.random.default_rng(self.setting.seed))
        return loop

    def world_of(self, record: Record) -> tuple[World, int]:
        """Return the world and the sample in it that costs what the recorded one does."""
        if not self.problem.timed:
            return self.world, 0
        if not record.input_bytes:
            return self.world, min(record.tokens, len(self.world.kind)) - 1
        if self.system is None or self.system.input_bytes is not None:
            return self.world, 0
        return self.world._replace(input_bits=np.array([8.0 * record.input_bytes])), 0

    def sends_state(self, record: Record) -> bool:
        """Return whether an offload where the sample stopped sends the state, at the rate in the record."""
        if not self.problem.timed:
            return record.layer > 0 and self.setting.sends == "state" and self.world.sends != INPUT
        world, s = self.world_of(record)
        return bool(sends_state(world, s, world.kind[s], record.layer, record.rate))

    def computing_cost(self, record: Record) -> float:
        """Return γ: what evaluating the sample's exits costs, by the profile or the cost model."""
        exits = record.exits
        if not exits:
            return 0.0
        if not self.problem.timed:
            return float(self._gamma[len(exits), exits[-1]])
        world, s = self.world_of(record)
        k = world.kind[s]
        ms = time_of(world.device_ms[:, k], list(exits))
        mj = time_of(world.device_mj[:, k], list(exits))
        return float(world.weights[0] * ms + world.weights[1] * mj)

    def offload_paid(self, record: Record, back_ms: float) -> float:
        """Return what an offload cost beyond γ: in a system, its measured ms and the bytes that were sent."""
        if not self.problem.timed:
            return float(self.world.offload[0, record.layer])
        (world, s), bits = self.world_of(record), 8.0 * record.bytes
        spent = world.radio_mw * (bits / record.rate) / 1e3 + world.radio_mj_per_mbit * bits / 1e6
        if record.sends == "state":
            spent += world.encode_mj[world.kind[s]]
        weights = world.weights
        return float(weights[0] * back_ms + weights[1] * spent + weights[2] * bits / 8e3)

    def feedback(self, record: Record) -> Feedback:
        """Return what the policy learns of a sample that was answered; the same live and from a log."""
        world, s = self.world_of(record)
        costs = offload_costs(world, s, record.rate)
        cost = self.computing_cost(record)
        if record.offloaded:
            costs[record.layer] = record.paid
            cost = cost + record.paid
        back = record.offloaded and not record.lost
        return Feedback(
            record.exits,
            record.confidences,
            record.predictions,
            record.offloaded,
            cost,
            record.confidence if back else None,
            record.prediction if back else None,
            record.late,
            world.device[:, world.kind[s]],
            costs,
        )

    def _policy(self) -> Policy | DeviceLoop:
        setting = self.setting
        source = self._source()
        found = names.parse_policies(
            setting.policy,
            PolicySetting(
                self.exits,
                self.held,
                setting.threshold,
                setting.exploration,
                setting.send_input,
                source,
                self.classes,
            ),
        )
        if len(found) != 1:
            raise InputError(f"--policy {setting.policy} stands for {len(found)} policies: a device runs one")
        return found[0]

    def _source(self) -> Trace | None:
        if self.setting.source is not None:
            return load_trace(self.setting.source)
        if not names.uses_source(self.setting.policy):
            return None
        found = find_source({"model": {"sha256": self.setting.model["fingerprint"]}})
        return None if found is None else load_trace(found)

    def _constant(self, costs: CostModel) -> None:
        """Make the world of a cost model."""
        layers = tuple(self.setting.model["exits"])
        costs = replace(costs.of_exits(layers), device_layers=self.held)
        if costs.sample_offload is not None:
            raise InputError("a device does not know the cost of a sample: give costs without any")
        self._gamma = costs.gamma(self.exits)
        index = np.arange(self.exits + 1)
        device = np.stack([self._gamma[np.minimum(index, 1), index], self._gamma[index, index]])
        self.world = in_rounds(device, costs.offload_costs(self.exits, 1), 1, 0, self.held)
        if self.setting.sends != "input":
            self.world = self.world._replace(sends=-1)
        self.problem = Problem(
            self.exits,
            self.held,
            costs.on_device(self.exits),
            MU if self.setting.mu is None else self.setting.mu,
            self.classes,
            self.setting.threshold,
        )

    def _timed(self, system: System) -> None:
        """Make the world of a system, with one sample of every length that the model takes, or one image."""
        setting, self.codec = self.setting, system.codec
        every = np.arange(1, int(setting.model.get("tokens", 0)) + 1)
        # the file of a stream's images is taken to have as many bytes as the image has pixels
        size = np.array([setting.typical_bytes or int(setting.model.get("image_size", 0)) ** 2])
        self.world = SystemOn(system, self.stand_in(every, size)).world
        typical = SystemOn(system, self.stand_in(np.array([setting.typical_tokens]), size))
        self.problem = Problem(
            self.exits,
            self.held,
            typical.costs.on_device(self.exits),
            MU / typical.unit_cost if self.setting.mu is None else self.setting.mu,
            self.classes,
            self.setting.threshold,
            unit=system.unit,
            timed=True,
        )

    def stand_in(self, tokens: NDArray[np.int64], sizes: NDArray[np.int64]) -> Trace:
        """Return a trace of samples of these token counts, or of images with files of these sizes.

        A system reads nothing else of it.
        """
        model = self.setting.model
        has_tokens = "tokens" in model
        n = len(tokens) if has_tokens else len(sizes)
        return Trace(
            np.ones((n, self.exits)),
            np.zeros((n, self.exits), np.int32),
            name=model["name"],
            length=tokens if has_tokens else None,
            input_bytes=None if has_tokens else sizes,
            manifest={**manifest_of(model), "exit_layers": model["exits"]},
        )

    @cached_property
    def rate(self) -> float:
        """Bits per ms that the device takes for the link's before the first answer."""
        return self.world.rate if self.problem.timed else 5000.0


def manifest_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a trace's manifest says of the model with these facts: identity, classes, states."""
    if "shapes" in model:
        shapes = [list(rows_shape(model["shapes"][layer - 1])) for layer in model["exits"]]
        states: dict[str, Any] = {"by_exit_shape": shapes}
    else:
        states = {"per_token_float32": 4 * model["hidden"]}
    return {
        "model": {"name": model["name"], "sha256": model["fingerprint"]},
        "class_names": model["classes"],
        "hidden_state_bytes": states,
    }


def system_of(document: Mapping[str, Any], held: int | None = None) -> System:
    """Return the system that `System.to_dict` describes; the device holds m exits.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        given = dict(document)
        given["device"], given["link"] = _profile(given["device"]), Link(**given["link"])
        if isinstance(given.get("cloud"), Mapping):
            given["cloud"] = _profile(given["cloud"])
        if held is not None:
            given["device_layers"] = held
        return System(**given)
    except (TypeError, KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"this is no description of a system ({error}): splitee plan writes one") from error


def _profile(document: Mapping[str, Any]) -> DeviceProfile:
    return DeviceProfile(**{name: value for name, value in document.items() if name != "splitee_profile"})
