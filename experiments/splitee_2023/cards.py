"""Write a card beside each bundled trace: how it was made, and what every exit is worth.

python experiments/splitee_2023/cards.py
"""

from pathlib import Path

import splitee
from splitee.calibration import expected_calibration_error
from splitee.files import write_text

DATA = Path(splitee.__file__).parent / "data"
ABOUT = {
    "imdb": (
        "The 25,000 test reviews of the Large Movie Review Dataset v1.0 (Maas et al., 2011), cut to 128 tokens. "
        "The copy that was read has some stray lines of another corpus (row 0 among them), labelled as reviews."
    ),
    "yelp_sentences": (
        "63,483 sentences of Yelp reviews of up to 15 words, in lower case (the validation split of the "
        "sentiment-transfer corpus of Shen et al., 2017)."
    ),
    "sst2_validation": (
        "SST-2's 872 validation sentences (Socher et al., 2013): the source, on which the epoch and the threshold "
        "were chosen. `splitee trace calibrate` fits its temperatures here."
    ),
}


def card(name: str) -> str:
    trace = splitee.load_trace(name)
    told = trace.manifest
    training, recipe = told["training"], told["training"]["recipe"]
    chosen = told["recommended_threshold"]
    right = trace.prediction == trace.label[:, None]
    source = training["validation"]["sha256"]
    lines = [
        f"# {name}",
        "",
        ABOUT[name],
        "",
        f"- **Model**: {training['backbone']} ({trace.layers} layers), an exit after every layer, "
        f"{told['pooling']} pooling; weights SHA-256 `{told['model']['sha256'][:16]}…`.",
        f"- **Fine-tuned on** {training['train']['rows']:,} whole sentences of SST-2: all exits jointly, gradient "
        f"equilibrium, batch {recipe['batch_size']}, lr {recipe['learning_rate']:g}, weight decay "
        f"{recipe['weight_decay']:g}, at most {recipe['epochs']} epochs, seed {recipe['seed']}, "
        f"{recipe['precision']}; the epoch with the best last exit on SST-2's {training['validation']['rows']} "
        f"validation sentences (step {training['best_step']}).",
        f"- **Threshold**: α = {chosen['value']:g} by the rule {chosen['rule']}, on those validation sentences; "
        f"{100 * chosen['picked'][format(chosen['value'], '.2f')]:.0f} % of bootstrap samples pick it. "
        + ("These are they." if told["data"]["sha256"] == source else "The target's labels had no say."),
        f"- **Read** in {told['dtype']} (exits in float32) on {told['device']}, at most {told['max_tokens']} tokens; "
        f"{told['reach_max_tokens']:,} of {trace.samples:,} texts reach that length.",
        f"- **FLOPs a text** at the mean length of {told['flops']['mean_length']['tokens']} tokens: "
        f"{sum(told['flops']['mean_length']['layers']) / 1e9:.2f} G in layers, "
        f"{sum(told['flops']['mean_length']['exits']) / 1e6:.1f} M in exits ({told['flops']['counter']}).",
        f"- **Licence** of the weights' origin: Apache-2.0. Only confidences, predictions, labels and lengths are "
        f"here, no text. Content SHA-256 `{trace.fingerprint[:16]}…`.",
        "",
        "| exit | accuracy % | mean confidence | calibration error |",
        "|---:|---:|---:|---:|",
    ]
    for i, accuracy in enumerate(trace.accuracy_per_exit()):
        error = expected_calibration_error(trace.confidence[:, i], right[:, i])
        lines.append(
            f"| {i + 1} | {100 * accuracy:.2f} | {trace.confidence[:, i].mean():.3f} | {error:.3f} |"
        )
    lines += ["", "Made by `experiments/splitee_2023/traces.sh`; this card by `cards.py` beside it.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    for name in ABOUT:
        write_text(DATA / f"{name}.md", card(name), overwrite=True)
        print(f"wrote {name}.md")
