#!/usr/bin/env bash
# Fill the tables that need a graphics card, in pieces of under ten minutes: call it again until it says that all is done.
#
#   benchmarks/gpu.sh DATA [CHECKPOINTS]          DATA holds cifar-10-batches-py and cifar-100-python
#   DEVICE=cpu CHANGE='{"epochs": 1, …}' RECORDS=DIR benchmarks/gpu.sh DATA    a trial at toy size
#
# Exit status 75: the time of this piece is spent and more is left.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?"usage: benchmarks/gpu.sh DATA [CHECKPOINTS]"}
checkpoints=${2:-benchmarks/checkpoints}
python=${PYTHON:-python}
device=${DEVICE:-cuda}
minutes=${MINUTES:-9}
seeds=${SEEDS:-"0 1 2"}
started=$SECONDS
left() { awk "BEGIN { print $minutes - ($SECONDS - $started) / 60 }"; }
trial=(${CHANGE:+--change "$CHANGE"} ${RECORDS:+--records "$RECORDS"})
for experiment in ${EXPERIMENTS:-resnet vit-large vgg}; do
    # shellcheck disable=SC2086 # lists of words on purpose
    "$python" benchmarks/learning.py "$experiment" --root "$data" --device "$device" --minutes "$(left)" \
        --checkpoints "$checkpoints" --seeds $seeds ${trial[@]+"${trial[@]}"}
done
# Two minutes are more than the timing takes on a graphics card.
if awk "BEGIN { exit !($(left) < ${RESERVE:-2}) }"; then exit 75; fi
# shellcheck disable=SC2086
"$python" benchmarks/steps.py --device "$device" ${STEPS:-}
"$python" benchmarks/learning.py --table ${RECORDS:+--records "$RECORDS"}
echo "all done"
