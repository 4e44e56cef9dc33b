#!/usr/bin/env bash
# The real runs: a 12-layer encoder fine-tuned on the paper's four sources, then the traces of its five targets.
#
#   bash experiments/splitee_2023/traces.sh DATA_ROOT BACKBONE [WORK]
#
# DATA_ROOT  folder of local data (sst2/train.parquet, imdb/test.parquet, …)
# BACKBONE   folder of all-mpnet-base-v2, or its name on the hub
# WORK       where checkpoints and finished traces go (default ~/.cache/splitee)
#
# Interrupted at any point, the same command goes on where it stopped. On two cores, in bfloat16 (a processor with
# avx512_bf16): pooling trials 2 × 3 min; training 30 min (SST-2), 60 (RTE), 40 (MNLI), 60 (MRPC); reading
# IMDb 35 min, Yelp 12, QQP and SNLI 10 each, SciTail 2.
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

train() { # NAME TASK OPTION...
  local name=$1 task=$2
  shift 2
  [[ -f $work/$name/validation.parquet ]] || splitee train --backbone "$backbone" --task "$task" --data-root "$data" \
    --pooling mean --precision bfloat16 --out "$work/$name" "$@"
}
trace() { # MODEL TASK SPLIT NAME
  [[ -f $work/$4.parquet ]] || splitee precompute "$work/$1" --task "$2" --split "$3" --data-root "$data" \
    --precision bfloat16 --out "$work/$4.parquet" --name "$4"
  cp "$work/$4.parquet" "$bundled/"
}
source_of() { # MODEL NAME: the validation rows as training read them, held-out ones too
  python "$here/source.py" "$work/$1/validation.parquet" "$bundled/$2.parquet"
}

train sst2-mpnet sst2_sentences --epochs 4 --patience 2
trace sst2-mpnet imdb test imdb
trace sst2-mpnet yelp_sentences validation yelp_sentences
trace sst2-mpnet sst2 validation sst2_validation

train rte-mpnet rte --epochs 6 --patience 2 --batch-size 16 --learning-rate 3e-5
trace rte-mpnet scitail validation+test scitail
source_of rte-mpnet rte_validation

train mnli-mpnet mnli --epochs 1 --learning-rate 3e-5
trace mnli-mpnet snli sample snli
source_of mnli-mpnet mnli_validation

# MRPC's local copy has no validation split: 408 training pairs are held out (ELUE's 3,668/408), its test split never read
train mrpc-mpnet mrpc --validation-rows 408 --epochs 4 --patience 1 --batch-size 16 --learning-rate 3e-5
trace mrpc-mpnet qqp validation+test qqp
source_of mrpc-mpnet mrpc_validation

python "$here/cards.py"
python "$here/evaluate.py"
