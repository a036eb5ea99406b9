#!/usr/bin/env bash
# Fill the tables that need a graphics card, in pieces of under ten minutes: call it again until it says that all is done.
#
#   benchmarks/gpu.sh DATA [CHECKPOINTS]          DATA holds cifar-10-batches-py and cifar-100-python
#   DEVICE=cpu CHANGE='{"epochs": 1, …}' benchmarks/gpu.sh DATA    a trial at toy size
#
# Exit status 75: the time of this piece is spent and more is left.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?"usage: benchmarks/gpu.sh DATA [CHECKPOINTS]"}
checkpoints=${2:-benchmarks/checkpoints}
device=${DEVICE:-cuda}
minutes=${MINUTES:-9}
seeds=${SEEDS:-"0 1 2"}
started=$SECONDS
for experiment in ${EXPERIMENTS:-resnet vit-large vgg}; do
    left=$(awk "BEGIN { print $minutes - ($SECONDS - $started) / 60 }")
    # shellcheck disable=SC2086 # lists of words on purpose
    python benchmarks/learning.py "$experiment" --root "$data" --device "$device" --minutes "$left" \
        --checkpoints "$checkpoints" --seeds $seeds ${CHANGE:+--change "$CHANGE"}
done
python benchmarks/steps.py --device "$device" ${STEPS:-}
python benchmarks/learning.py --table
echo "all done"
