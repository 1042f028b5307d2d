#!/bin/sh
# The manifests of a campaign against the published schemas of Kubernetes, strictly: what no schema knows is an error. And, where
# KUBECTL_SERVER names an API server, a dry run there. Installs the schemas once into ~/.cache/mirrorcode-kubernetes.
# Usage: run.sh MIRRORCODE
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1")
place=${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-kubernetes
wanted=$(cksum < "$here/requirements.txt")
if [ "$(cat "$place/wanted" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
  echo "$wanted" > "$place/wanted"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$here/../../languages" "$work/languages"
mkdir -p "$work/targets"
cp -r "$here/../../targets/gron" "$work/targets/gron"
echo '{"turns": []}' > "$work/nothing.json"
cat > "$work/pilot.toml" <<END
[[set]]
tasks = 'gron/python'
attempts = 1200
[[model]]
name = 'scripted:nothing.json'
[kubernetes]
image = "registry.example/mirrorcode:1"
program = "/usr/local/bin/mirrorcode"
namespace = "default"
claim = "shared"
mount = "$work"
storage = "500Gi"
storage-class = "nfs"
secrets = ["model-keys", "more-keys"]
service-account = "default"
nodes = { "kubernetes.io/arch" = "amd64" }
at-once = 100
END
cd "$work"
"$program" campaign manifests pilot.toml -o manifests --no-images \
  --targets "$work/targets" --languages "$work/languages" --runs "$work/runs" --cache "$work"
"$place/bin/python" "$here/check.py" manifests/*.yaml
if [ -n "${KUBECTL_SERVER:-}" ]; then
  for file in manifests/*.yaml; do
    kubectl $KUBECTL_SERVER apply --dry-run=server --validate=strict -f "$file"
  done
fi
