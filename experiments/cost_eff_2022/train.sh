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

slender() { # TASK RATIO [SEED]
  student "$2-slender${3:+-seed$3}" "$1" --params "${share[$2]}" --seed "${3:-0}"
}
squat() { # TASK RATIO [SEED]
  student "$2-depth${3:+-seed$3}" "$1" --layers "${depth[$2]}" --seed "${3:-0}"
  student "$2-depth-svd${3:+-seed$3}" "$1" --layers "${depth[$2]}" --rank "${rank[$2]}" --seed "${3:-0}"
}
variant() { # WAY TASK RATIO [SEED]: slender, but otherwise chosen or taught
  local option
  case $1 in
  last-exit) option=(--last-exit) ;;
  random) option=(--importance random) ;;
  labels) option=(--labels) ;;
  esac
  student "$3-$1${4:+-seed$4}" "$2" --params "${share[$3]}" "${option[@]}" --seed "${4:-0}"
}

for task in sst2 mrpc; do
  teacher "$task"
done
slender sst2 8
squat sst2 8
# what comes with splitee (bundle.py): under 8 MB in float16
[[ ! -f $work/sst2-minilm/model.safetensors ]] ||
  run sst2-minilm-bundled slim "$work/sst2-minilm" $(source_of sst2) --heads 4 --ffn 192 --rank 32 "${rates[@]}" \
    --importance-share 0.125 --prune-epochs 3 --representation-epochs 4 --prediction-epochs 5
variant random sst2 8
variant last-exit sst2 8
# MPNet, one size: the teacher is experiments/elue_2022's
mpnet=$work/../elue/sst2-mpnet
[[ ! -f $mpnet/model.safetensors ]] ||
  run sst2-mpnet-4-slender slim "$mpnet" $(source_of sst2) --params 0.25 "${rates[@]}" \
    --importance-share 0.0625 --prune-epochs 1 --representation-epochs 1 --prediction-epochs 1
slender mrpc 8
squat mrpc 8
for task in sst2 mrpc; do
  for r in 4 2; do
    slender "$task" "$r"
  done
done
variant labels sst2 8
for r in 4 2; do
  squat sst2 "$r"
done
for way in random last-exit labels; do
  variant "$way" mrpc 8
done
for r in 4 2; do
  squat mrpc "$r"
done
for seed in 1 2; do
  for task in sst2 mrpc; do
    slender "$task" 8 "$seed"
    squat "$task" 8 "$seed"
    for way in random last-exit labels; do
      variant "$way" "$task" 8 "$seed"
    done
  done
done
