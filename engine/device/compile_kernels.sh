#!/bin/bash
# Makes src/transformer.ptx of src/transformer.cu.
#
#   engine/device/compile_kernels.sh
#
# Needs python3 with pip: the compiler comes from PyPI, into target/nvcc.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=target/nvcc
cuda=13.0
[ -x $tools/bin/python ] || python3 -m venv $tools
$tools/bin/pip install --quiet --disable-pip-version-check \
    nvidia-cuda-nvcc==$cuda.88 nvidia-cuda-crt==$cuda.88 nvidia-nvvm==$cuda.88 nvidia-cuda-runtime==$cuda.96 nvidia-cuda-cccl==$cuda.85
root=$(echo $tools/lib/python3*/site-packages/nvidia/cu13)
source=engine/device/src/transformer.cu
made=$(mktemp)
trap 'rm -f "$made"' EXIT
"$root/bin/nvcc" -ptx -arch=compute_80 -I"$root/include" -o "$made" $source
# It uses nothing that is newer than 7.0, and older drivers take that.
{
    echo "// of transformer.cu $(sha256sum $source | cut -d' ' -f1)"
    sed -n '/^\.version/,$p' "$made" | sed -e 's/^\.version .*/.version 7.0/' -e '/^\t*\/\//d'
} >engine/device/src/transformer.ptx
for gpu in 80 86 89 90 100 120; do
    "$root/bin/ptxas" -arch=sm_$gpu -o /dev/null engine/device/src/transformer.ptx
done
