#!/usr/bin/env bash
# Teachers, slender students at 1/2, 1/4 and 1/8 of the parameters, and their rivals with the same teacher and steps.
#
#   bash experiments/cost_eff_2022/train.sh DATA_ROOT BACKBONES [WORK]
#
# DATA_ROOT  folder of local data (sst2/train.parquet, mrpc/train.parquet, …)
# BACKBONES  folder with all-MiniLM-L6-v2 and all-mpnet-base-v2
# WORK       where checkpoints go (default ~/.cache/splitee/cost-eff)
#
# ONLY=REGEX trains only the names that match. Interrupted at any point, the same command goes on where it stopped.
# Splits as in experiments/elue_2022: trained on train, the epoch chosen on validation, test is scored.
set -euo pipefail
data=$1 backbones=$2 work=${3:-$HOME/.cache/splitee/cost-eff}
export TOKENIZERS_PARALLELISM=false
mkdir -p "$work"

run() { # NAME COMMAND...: unless it is there or not wanted
  local name=$1
  shift
  [[ ! $name =~ ${ONLY:-} || -f $work/$name/model.safetensors ]] && return
  echo "== $name"
  splitee "$@" --precision bfloat16 --out "$work/$name"
}
source_of() { # TASK
  case $1 in
  sst2) echo --task sst2_sentences --data-root "$data" ;;
  mrpc) echo --task mrpc --validation-rows 408 --data-root "$data" ;;
  esac
}
teacher() { # TASK: MiniLM, its exits without a dense layer, as COST-EFF's
  # shellcheck disable=SC2046
  run "$1-minilm" train --backbone "$backbones/all-MiniLM-L6-v2" $(source_of "$1") --no-exit-dense \
    --epochs 4 --patience 4 --learning-rate 1e-4
}
# COST-EFF's stages, shorter and at higher rates; importance over an eighth of the rows, before each event
epochs=(--prune-epochs 2 --representation-epochs 2 --prediction-epochs 2 --importance-share 0.125)
rates=(--prune-rate 1e-4 --representation-rate 4e-4 --prediction-rate 2e-4)
student() { # NAME TASK OPTION...: of MiniLM
  local name=$1 task=$2
  shift 2
  [[ -f $work/$task-minilm/model.safetensors ]] || return 0
  # shellcheck disable=SC2046
  run "$task-minilm-$name" slim "$work/$task-minilm" $(source_of "$task") "${epochs[@]}" "${rates[@]}" "$@"
}
# the first l layers at no fewer FLOPs, and at as many parameters (layers, rank)
depth=([2]=4 [4]=2 [8]=1)
rank=([2]=128 [4]=61 [8]=27)
share=([2]=0.5 [4]=0.25 [8]=0.125)

for task in sst2 mrpc; do
  teacher "$task"
done
family() { # TASK RATIO OPTION...
  local task=$1 r=$2 suffix=${3:+-seed$3} seed=${3:-0}
  student "$r-slender$suffix" "$task" --params "${share[$r]}" --seed "$seed"
  student "$r-depth$suffix" "$task" --layers "${depth[$r]}" --seed "$seed"
  student "$r-depth-svd$suffix" "$task" --layers "${depth[$r]}" --rank "${rank[$r]}" --seed "$seed"
}
variants() { # TASK RATIO [SEED]: slender, but otherwise chosen or taught
  local task=$1 r=$2 suffix=${3:+-seed$3} seed=${3:-0}
  student "$r-last-exit$suffix" "$task" --params "${share[$r]}" --last-exit --seed "$seed"
  student "$r-random$suffix" "$task" --params "${share[$r]}" --importance random --seed "$seed"
  student "$r-labels$suffix" "$task" --params "${share[$r]}" --labels --seed "$seed"
}
for r in 8 4 2; do
  for task in sst2 mrpc; do
    family "$task" "$r"
    ((r < 8)) || variants "$task" "$r"
  done
done
# what comes with splitee (bundle.py): under 8 MB in float16
[[ ! -f $work/sst2-minilm/model.safetensors ]] ||
  run sst2-minilm-bundled slim "$work/sst2-minilm" $(source_of sst2) --heads 4 --ffn 192 --rank 32 "${rates[@]}" \
    --importance-share 0.125 --prune-epochs 3 --representation-epochs 6 --prediction-epochs 6
# MPNet, one size: the teacher is experiments/elue_2022's
mpnet=$work/../elue/sst2-mpnet
[[ ! -f $mpnet/model.safetensors ]] ||
  run sst2-mpnet-4-slender slim "$mpnet" $(source_of sst2) --params 0.25 "${epochs[@]}" "${rates[@]}"
for seed in 1 2; do
  family sst2 8 "$seed"
  variants sst2 8 "$seed"
done
