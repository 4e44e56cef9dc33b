"""Write a card beside each bundled trace: how it was made, and what every exit is worth.

python experiments/splitee_2023/cards.py
"""

from pathlib import Path

import splitee
from splitee._internal.files import write_text
from splitee.trace.croissant import data_set, weights
from splitee.trace.reliability import expected_calibration_error

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
    "scitail": (
        "The 1,304 validation and 2,126 test pairs of SciTail (Khot et al., 2018): does a sentence of the web entail "
        "a science fact? Two classes, entailment first, as in RTE."
    ),
    "rte_validation": (
        "RTE's 277 validation pairs (GLUE): the source of `scitail`. So few that the threshold is uncertain."
    ),
    "qqp": (
        "10,000 validation and 10,000 test pairs of Quora questions (Iyer et al., 2017), a balanced selection: are "
        "they duplicates?"
    ),
    "mrpc_validation": (
        "408 pairs of MRPC's training split (Dolan and Brockett, 2005), held out: the source of `qqp`. MRPC's test "
        "split was not read."
    ),
    "snli": (
        "20,000 pairs of SNLI (Bowman et al., 2015): entailment, neutral or contradiction. Three classes, with logits."
    ),
    "mnli_validation": (
        "6,238 validation pairs of a sample of MultiNLI (Williams et al., 2018): the source of `snli`. The copy that "
        "was read has lost the hypotheses' full stops."
    ),
}
TRAINED_ON = {
    "sst2_sentences": "whole sentences of SST-2",
    "rte": "pairs of RTE",
    "mrpc": "pairs of MRPC",
    "mnli": "pairs of a sample of MultiNLI",
}


def card(name: str) -> str:
    trace = splitee.load_trace(name)
    told = trace.manifest
    training, recipe = told["training"], told["training"]["recipe"]
    chosen = told["recommended_threshold"]
    right = trace.prediction == trace.label[:, None]
    source = training["validation"]["sha256"]
    digest = told["model"].get("sha256")
    validation_rows = training["validation"]["rows"]
    lines = [
        f"# {name}",
        "",
        ABOUT[name],
        "",
        f"- **Model**: {training['backbone']} ({trace.layers} layers), an exit after every layer, "
        f"{told['pooling']} pooling" + (f"; weights SHA-256 `{digest[:16]}…`." if digest else "."),
        f"- **Fine-tuned on** {training['train']['rows']:,} {TRAINED_ON[training['train']['task']]}: all exits jointly, gradient "
        f"equilibrium, batch {recipe['batch_size']}, lr {recipe['learning_rate']:g}, weight decay "
        f"{recipe['weight_decay']:g}, at most {recipe['epochs']} epochs, seed {recipe['seed']}, "
        f"{recipe['precision']}; the epoch with the best last exit on {validation_rows:,} validation rows (step "
        f"{training['best_step']}).",
        f"- **Threshold**: α = {chosen['value']:g} by the rule {chosen['rule']}, on those validation rows; "
        f"{100 * chosen['picked'][format(chosen['value'], '.2f')]:.0f} % of bootstrap samples choose it. "
        + (
            "This trace holds these rows."
            if told["data"]["sha256"] == source
            else "The target's labels were not used."
        ),
        f"- **Read** in {told['dtype']} (exits in float32) on {told['device']}, at most {told['max_tokens']} tokens; "
        f"{told['reach_max_tokens']:,} of {trace.samples:,} texts reach that length.",
        f"- **FLOPs per text** at the mean length of {told['flops']['mean_length']['tokens']} tokens: "
        f"{sum(told['flops']['mean_length']['layers']) / 1e9:.2f} G in layers, "
        f"{sum(told['flops']['mean_length']['exits']) / 1e6:.1f} M in exits ({told['flops']['counter']}).",
        f"- **Licence** of the weights' origin: {weights(trace)[0].licence}. Labels are those of {data_set(trace).name}; its "
        f"licence: {data_set(trace).licence}. Only confidences, predictions, labels and lengths are here, no text. Content SHA-256 `{trace.fingerprint[:16]}…`.",
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
    for name in (name for name in ABOUT if name in splitee.bundled_traces()):
        write_text(DATA / f"{name}.md", card(name), overwrite=True)
        print(f"wrote {name}.md")
