#!/bin/sh
# Generate the typed Python of proto/ into the tree named (the repository itself by default).
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$top}
python=${PYTHON:-$top/.venv/bin/python}
bin=$(dirname "$python")
mkdir -p "$out/shoal/api/v1" "$out/agent/csi/v1" "$out/manager/etcd/v3" "$out/engine/buildkit/v1"
cd "$top"
"$python" -m grpc_tools.protoc -I proto \
  --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
  proto/shoal/api/v1/*.proto proto/agent/csi/v1/*.proto proto/manager/etcd/v3/*.proto proto/engine/buildkit/v1/*.proto
# Files that define no service get an empty gRPC module from the generator: not worth keeping.
for proto in proto/shoal/api/v1/*.proto proto/engine/buildkit/v1/*.proto; do
  name=${proto#proto/}
  name=$out/${name%.proto}_pb2_grpc
  grep -q '^service ' "$proto" || rm -f "$name.py" "$name.pyi"
done
