#!/usr/bin/env bash
# What needs a GPU most, in ten minutes on one H100, under JAX.
#
#   studies/on_a_gpu.sh --prepare   here, with a network: wheels into .whl, data into .gpu
#   studies/on_a_gpu.sh             there: .whl and .gpu are carried along; results in $OUT
#   studies/on_a_gpu.sh --dry       here, on a CPU: every part for a moment
#
# To go on where the last call stopped, put its $OUT/state.tar.gz into .gpu. Each part has
# its time and is stopped at the end of it: Spatial Gradient Scaling on CIFAR-10,
# DnCNN-17 as published, the cost of a training step. PYTHON, DATA (the folder of
# Train400, BSD68 and Set12) and OUT may be set.
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
data=${DATA:-../shared/data/denoising}
out=${OUT:-runs/gpu}

if [ "${1:-}" = --prepare ]; then
    set -e
    mkdir -p .whl .gpu
    for folder in .whl .gpu; do
        grep -qxF "/$folder/" "$(git rev-parse --git-path info/exclude)" ||
            echo "/$folder/" >>"$(git rev-parse --git-path info/exclude)"
    done
    rm -f .whl/*
    versions=$(grep -E '^(keras|keras-tuner|kt-legacy|namex|optree)==' constraints.txt)
    "$python" -m pip download --quiet --no-deps --only-binary=:all: \
        --python-version 3.12 --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
        --platform manylinux2014_x86_64 -d .whl $versions
    "$python" -m pip wheel --quiet --no-deps --no-build-isolation -w .whl .
    tar -C "$data" -chf .gpu/denoising.tar Train400 BSD68 Set12
    "$python" -m studies.gradient_scaling --save .gpu/cifar10.npz
    du -sh .whl .gpu
    exit
fi

export KERAS_BACKEND=jax PYTHONUNBUFFERED=1
# Networks of a comparison are compiled once and not for each run.
export JAX_COMPILATION_CACHE_DIR=${TMPDIR:-/tmp}/jax_cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=1

if [ "${1:-}" = --dry ]; then
    export JAX_PLATFORMS=cpu
    times=(120 60 20)
    scaling=(--only digits --steps 40 --seeds 2 --trials 2)
    denoising=(--small --steps 4 --data "$data")
else
    times=(290 150 70)
    scaling=(--data .gpu/cifar10.npz --only vgg --only resnet18 --steps 1000 --seeds 5 --trials 6)
    denoising=(--steps 4000 --data "${TMPDIR:-/tmp}/denoising")
    if ls .whl/*.whl >/dev/null 2>&1; then
        site=${TMPDIR:-/tmp}/site
        "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
            --upgrade --target "$site" .whl/*.whl || exit
        export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
    fi
    mkdir -p "${TMPDIR:-/tmp}/denoising"
    tar -C "${TMPDIR:-/tmp}/denoising" -xf .gpu/denoising.tar || exit
fi

work=${TMPDIR:-/tmp}/on_a_gpu
mkdir -p "$work" "$out"
[ -f .gpu/state.tar.gz ] && tar -C "$work" -xzf .gpu/state.tar.gz

part() { # part NAME SECONDS COMMAND...
    echo "=== $1, $2 s at most"
    timeout --signal INT --kill-after 20 "$2" "${@:3}" 2>&1 | tee -a "$out/$1.log"
    local code=${PIPESTATUS[0]}
    [ "$code" = 0 ] && echo "=== $1: done" || echo "=== $1: stopped, $code"
    # At once: a call may end before the last part does.
    find "$work" -name '*.jsonl' | while read -r file; do
        name=${file#"$work/"}
        cp "$file" "$out/${name//\//-}"
    done
    cp "$work"/ratios/*.json "$out" 2>/dev/null
    tar -C "$work" --exclude '*.keras' --exclude '*.weights.h5.tmp' -czf "$out/state.tar.gz" .
}

part scaling "${times[0]}" \
    "$python" -m studies.gradient_scaling "${scaling[@]}" --output "$work/scaling"
part dncnn17 "${times[1]}" \
    "$python" -m studies.dncnn17 "${denoising[@]}" --output "$work/dncnn17"
part ratios "${times[2]}" \
    "$python" -m benchmarks.networks --quick --output "$work/ratios"
ls -l "$out"
