"""Write a card beside each bundled trace of two models.

python experiments/bench/cards.py
"""

from __future__ import annotations

from pathlib import Path

import splitee
from splitee._internal.files import write_text
from splitee.trace.croissant import data_set, weights
from splitee.trace.reliability import expected_calibration_error

PACKAGE = Path(splitee.__file__).parent / "data"


def card(name: str) -> str:
    trace = splitee.load_trace(name)
    told, cloud = trace.manifest, trace.manifest["cloud"]
    training, flops = told["training"], told["flops"]["mean_length"]
    slimmed, chosen = training["slimmed"]["recipe"], told["recommended_threshold"]
    drawn = told["data"].get("drawn")
    samples = (
        f"{drawn:,} of the {told['data']['drawn_from']:,} samples of [`{cloud['name']}`]({cloud['name']}.md), drawn without "
        f"replacement by seed {told['data']['seed']}, in their order and with their ids"
        if drawn
        else f"The samples of [`{cloud['name']}`]({cloud['name']}.md), with their ids"
    )
    lines = [
        f"# {name}",
        "",
        f"{samples}: a slender model on the device, a larger one in the cloud.",
        "",
        f"- **Device**: {told['model']['name']} ({trace.layers} layers, {told['parameters'] / 1e6:.2f} M parameters), an exit "
        f"after every layer; weights SHA-256 `{told['model']['sha256'][:16]}…`. It was slimmed from {training['backbone']} by "
        f"`splitee slim` to {slimmed['heads']} heads, {slimmed['units']} feed-forward units and an embedding of rank "
        f"{slimmed['rank']}, and fine-tuned on {training['train']['rows']:,} whole sentences of SST-2.",
        f"- **Cloud**: the last exit of {cloud['model']['name']}, the model of `{cloud['name']}`; weights SHA-256 "
        f"`{cloud['model']['sha256'][:16]}…`. Without `cloud_confidence` and `cloud_prediction` this is the trace of the "
        "device's model.",
        f"- **Threshold**: α = {chosen['value']:g} by the rule {chosen['rule']}, on SST-2's "
        f"{training['validation']['rows']:,} validation sentences. "
        + (
            "This trace holds these rows."
            if told["data"]["sha256"] == training["validation"]["sha256"]
            else "The target's labels were not used."
        ),
        f"- **Read** in {told['dtype']} on {told['device']}, at most {told['max_tokens']} tokens; "
        f"{told['reach_max_tokens']:,} of {trace.samples:,} texts reach that length.",
        f"- **FLOPs per text** at the mean length of {flops['tokens']} tokens: {sum(flops['layers']) / 1e6:.1f} M in layers, "
        f"{sum(flops['exits']) / 1e6:.2f} M in exits ({told['flops']['counter']}).",
        f"- **Licence** of the weights' origins: {' and '.join({origin.licence: origin for origin in weights(trace)})}. Labels are those "
        f"of {data_set(trace).name}; its licence: {data_set(trace).licence}. Only confidences, predictions, labels and "
        f"lengths are here, no text. Content SHA-256 `{trace.fingerprint[:16]}…`.",
        "",
        "| exit | accuracy % | mean confidence | calibration error | same answer as the cloud % |",
        "|---:|---:|---:|---:|---:|",
    ]
    columns = [
        *((f"{i + 1}", trace.confidence[:, i], trace.prediction[:, i]) for i in range(trace.layers)),
        ("cloud", trace.cloud_confidence, trace.cloud_prediction),
    ]
    for exit_, confidence, prediction in columns:
        right = prediction == trace.label
        lines.append(
            f"| {exit_} | {100 * right.mean():.2f} | {confidence.mean():.3f} | "
            f"{expected_calibration_error(confidence, right):.3f} | "
            f"{100 * (prediction == trace.cloud_prediction).mean():.2f} |"
        )
    lines += ["", "Made by `experiments/bench/slender.py`; this card by `cards.py` beside it.", ""]
    return "\n".join(lines)


def write_cards() -> None:
    for name in (name for name in splitee.bundled_traces() if name.startswith("slender_")):
        write_text(PACKAGE / f"{name}.md", card(name), overwrite=True)
        print(f"wrote {name}.md")


if __name__ == "__main__":
    write_cards()
