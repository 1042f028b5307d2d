#!/bin/sh
# A campaign on a real Slurm of two nodes, on this machine, as an ordinary user; and the same one without Slurm.
# Usage: run.sh MIRRORCODE. RUNS says how many runs (200), KEEP=1 keeps the directory.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1")
user=${SLURM_TEST_USER:-mirrorcode-slurm}
place=${SLURM_TEST_PLACE:-/var/tmp/mirrorcode-slurm}
if [ "$(id -u)" = 0 ]; then
    id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$user"
    rm -rf "$place"/work
    mkdir -p "$place"/work
    # The nodes' daemons and the workers are this user's, who may not read where the repository lies.
    mkdir -p "$place"/work/repository/tests
    for part in targets/uuidparse languages tests/slurm tests/golden/uuidparse-python; do
        mkdir -p "$place/work/repository/$part"
        cp -r "$here/../../$part/." "$place/work/repository/$part"
    done
    install -m 755 "$program" "$place"/work/mirrorcode
    chown -R "$user" "$place"
    chmod 755 "$place"
    exec su "$user" -c "RUNS=${RUNS:-200} KEEP=${KEEP:-} PATH=\$PATH:/usr/sbin:/sbin exec python3 $place/work/repository/tests/slurm/test.py $place"
fi
mkdir -p "$place"/work
ln -sfn "$here/../.." "$place"/work/repository
install -m 755 "$program" "$place"/work/mirrorcode
PATH=$PATH:/usr/sbin:/sbin exec python3 "$here/test.py" "$place"
