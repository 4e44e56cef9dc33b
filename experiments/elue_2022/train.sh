#!/usr/bin/env bash
# The models of the evaluation: per task and backbone one model with all exits, and references, fine-tuned by
# themselves from the first l layers with one exit; on SST-2 every way to train exits.
#
#   bash experiments/elue_2022/train.sh DATA_ROOT BACKBONES [WORK]
#
# DATA_ROOT  folder of local data (sst2/train.parquet, stsb/train.parquet, …)
# BACKBONES  folder with all-MiniLM-L6-v2 and all-mpnet-base-v2
# WORK       where checkpoints go (default ~/.cache/splitee/elue)
#
# ONLY=REGEX trains only the names that match; two such runs, each with OMP_NUM_THREADS=1, use two cores better than one
# run with two threads.
#
# Interrupted at any point, the same command goes on where it stopped. On two cores, in bfloat16 (a processor with
# avx512_bf16): MiniLM 1 to 2 min an epoch with all exits; MPNet 10 min.
#
# Splits: trained on train, the epoch chosen on validation, both never scored; test is scored. Exceptions, since these
# splits are not at hand: MRPC's validation rows are 408 held-out training rows; SciTail and SNLI are trained on their
# validation split (200 and 1,000 rows of it held out).
set -euo pipefail
data=$1 backbones=$2 work=${3:-$HOME/.cache/splitee/elue}
export TOKENIZERS_PARALLELISM=false
mkdir -p "$work"

train() { # NAME TASK BACKBONE OPTION...
  local name=$1 task=$2 backbone=$3 source
  shift 3
  [[ ! $name =~ ${ONLY:-} || -f $work/$name/model.safetensors ]] && return
  local pair=(--text-column premise --text-column hypothesis --label-column label)
  case $task in
  sst2) source=(--task sst2_sentences) ;;
  mrpc) source=(--task mrpc --validation-rows 408) ;;
  stsb) source=(--task stsb) ;;
  scitail) source=(--text "$data/scitail/validation.parquet" "${pair[@]}" --class-names entails,neutral --validation-rows 200) ;;
  snli) source=(--text "$data/snli/validation.parquet" "${pair[@]}" --class-names entailment,neutral,contradiction --validation-rows 1000) ;;
  esac
  [[ $task == scitail || $task == snli ]] || source+=(--data-root "$data")
  echo "== $name"
  splitee train --backbone "$backbones/$backbone" "${source[@]}" --precision bfloat16 --out "$work/$name" "$@"
}
minilm() { # NAME TASK OPTION...: four epochs, whichever is best
  local name=$1 task=$2
  shift 2
  train "$name" "$task" all-MiniLM-L6-v2 --epochs 4 --patience 4 --learning-rate 1e-4 "$@"
}
mpnet() { # as experiments/splitee_2023/traces.sh trained the two that it needs
  local name=$1 task=$2 recipe
  shift 2
  case $task in
  sst2) recipe=(--epochs 4 --patience 2 --learning-rate 2e-5) ;;
  mrpc) recipe=(--epochs 4 --patience 1 --learning-rate 3e-5 --batch-size 16) ;;
  stsb) recipe=(--epochs 3 --patience 3 --learning-rate 3e-5) ;;
  esac
  train "$name" "$task" all-mpnet-base-v2 "${recipe[@]}" "$@"
}
for name in sst2-mpnet mrpc-mpnet; do # that script's own
  [[ -e $work/$name || ! -f $work/../$name/model.safetensors ]] || ln -s "../$name" "$work/$name"
done

for task in sst2 mrpc stsb; do
  minilm "$task-minilm" "$task"
done
for way in depth-weighted two-stage alternating self-distillation; do
  minilm "sst2-minilm-$way" sst2 --objective "$way"
done
for l in 1 2 3 4 6; do
  for task in sst2 mrpc stsb; do
    minilm "$task-minilm-first$l" "$task" --layers "$l" --exits "$l"
  done
done
for task in stsb sst2 mrpc; do
  mpnet "$task-mpnet" "$task"
done
for l in 1 6 12 3; do
  for task in sst2 stsb mrpc; do
    fewer=()
    ((l < 6)) || fewer=(--epochs "$([[ $task == mrpc ]] && echo 3 || echo 2)") # for time
    mpnet "$task-mpnet-first$l" "$task" --layers "$l" --exits "$l" "${fewer[@]}"
  done
done
for task in scitail snli; do
  minilm "$task-minilm" "$task"
  for l in 1 3 6; do
    minilm "$task-minilm-first$l" "$task" --layers "$l" --exits "$l"
  done
done
for seed in 1 2; do
  for task in sst2 mrpc stsb; do
    minilm "$task-minilm-seed$seed" "$task" --seed "$seed"
  done
done
