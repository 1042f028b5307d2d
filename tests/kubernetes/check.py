"""Manifests against the published schemas of several versions of Kubernetes."""

import sys
from pathlib import Path

import kubernetes_validate
import yaml

# `appArmorProfile` is in none before; `backoffLimitPerIndex` and users of pods' own are in all clusters from 1.33 on.
VERSIONS = [f"1.{minor}" for minor in range(30, 38)]

for path in sys.argv[1:]:
    for document in yaml.safe_load_all(Path(path).read_text()):
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
        # The check itself notices what is wrong.
        wrong = {**document, "spec": {**document["spec"], "unheardOf": 1}}
        try:
            kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)
        except kubernetes_validate.ValidationError:
            continue
        sys.exit(f"{path}: a field that does not exist is accepted")
print(f"{len(sys.argv) - 1} manifests fit the schemas of Kubernetes {VERSIONS[0]} to {VERSIONS[-1]}")
