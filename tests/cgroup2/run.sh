#!/bin/sh
# The sandbox's own tests under control groups version 2: a Debian system with systemd in a virtual machine, as root and as an
# ordinary user whose service manager hands groups on. Needs the package mirror once; no root, no hardware virtualization.
# usage: tests/cgroup2/run.sh path/to/mirrorcode path/to/sandbox-keeper path/to/sandbox-tests
set -eu
mirrorcode=$1 keeper=$2 tests=$3
here=$(cd "$(dirname "$0")" && pwd)
cache=${MIRRORCODE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode}/cgroup2
suite=trixie
packages=linux-image-cloud-amd64,systemd-sysv,libpam-systemd,dbus-user-session,util-linux,uidmap,python3-minimal
mkdir -p "$cache"
if ! [ -e "$cache/root.ext2" ]; then
  echo "making a Debian $suite system" >&2
  rm -rf "$cache/making"
  mkdir "$cache/making"
  mmdebstrap --quiet --variant=minbase --format=ext2 --include="$packages" \
    --customize-hook='chroot "$1" useradd --uid 1000 --create-home --shell /bin/sh tester' \
    --customize-hook='mkdir -p "$1/var/lib/systemd/linger" && touch "$1/var/lib/systemd/linger/tester"' \
    --customize-hook="copy-in $here/mirrorcode-test.service /etc/systemd/system" \
    --customize-hook='chroot "$1" systemctl enable mirrorcode-test.service' \
    --customize-hook="download /vmlinuz $cache/making/vmlinuz" \
    --customize-hook="download /initrd $cache/making/initrd" \
    "$suite" "$cache/making/root.ext2"
  mv "$cache/making"/* "$cache/"
  rmdir "$cache/making"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/payload"
cp "$mirrorcode" "$work/payload/mirrorcode"
cp "$tests" "$work/payload/tests"
cp "$keeper" "$work/payload/keeper"
cp "$here/guest.sh" "$work/payload/guest.sh"
tar -C "$work/payload" -cf "$work/payload.tar" .
accelerator=tcg,thread=single
[ -w /dev/kvm ] && grep -qE 'vmx|svm' /proc/cpuinfo && accelerator=kvm
timeout 1500 qemu-system-x86_64 -accel "$accelerator" -cpu qemu64 -smp 2 -m 2048 -nodefaults -no-reboot -display none -snapshot \
  -kernel "$cache/vmlinuz" -initrd "$cache/initrd" \
  -append 'root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.show_status=0' \
  -drive file="$cache/root.ext2",format=raw,if=virtio -drive file="$work/payload.tar",format=raw,if=virtio \
  -serial file:"$work/console" -serial file:"$work/result" || true
cat "$work/result"
if ! grep -q '^cgroup2: all passed' "$work/result"; then
  echo "the last lines of the virtual machine's console:" >&2
  tail -n 30 "$work/console" >&2
  exit 1
fi
