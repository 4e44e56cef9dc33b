#!/usr/bin/env bash
# The real run: a 12-layer encoder fine-tuned on SST-2's whole sentences, then the traces of IMDb and Yelp.
#
#   bash experiments/splitee_2023/traces.sh DATA_ROOT BACKBONE [WORK]
#
# DATA_ROOT  folder of local data (sst2/train.parquet, imdb/test.parquet, …)
# BACKBONE   folder of all-mpnet-base-v2, or its name on the hub
# WORK       where checkpoints and finished traces go (default ~/.cache/splitee)
#
# Interrupted at any point, the same command goes on where it stopped. On two cores: pooling trials 2 × 3 min,
# training 7 min an epoch, IMDb about 35 min, Yelp about 12 min, in bfloat16 (a processor with avx512_bf16).
set -euo pipefail
data=$1 backbone=$2 work=${3:-$HOME/.cache/splitee}
here=$(cd "$(dirname "$0")" && pwd)
bundled=$(cd "$here/../../splitee/data" && pwd)
mkdir -p "$work"

# Pooling is chosen on SST-2's validation split: one epoch on 2,048 sentences each. Results: pooling.csv
for pooling in mean first; do
  [[ -d $work/pooling-$pooling ]] || splitee train --backbone "$backbone" --task sst2_sentences --data-root "$data" \
    --train-rows 2048 --epochs 1 --warmup 0.1 --pooling "$pooling" --precision bfloat16 \
    --out "$work/pooling-$pooling"
done
python "$here/pooling.py" "$work"

[[ -d $work/sst2-mpnet ]] || splitee train --backbone "$backbone" --task sst2_sentences --data-root "$data" \
  --pooling mean --epochs 4 --patience 2 --precision bfloat16 --out "$work/sst2-mpnet"

trace() { # TASK SPLIT NAME
  [[ -f $work/$3.parquet ]] || splitee precompute "$work/sst2-mpnet" --task "$1" --split "$2" --data-root "$data" \
    --precision bfloat16 --out "$work/$3.parquet" --name "$3"
}
trace imdb test imdb
trace yelp_sentences validation yelp_sentences
trace sst2 validation sst2_validation

cp "$work/imdb.parquet" "$work/yelp_sentences.parquet" "$work/sst2_validation.parquet" "$bundled/"
python "$here/cards.py"
python "$here/compare.py"
