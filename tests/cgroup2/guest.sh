# Runs inside the virtual machine, as root.
set -eu
# The disk has no room, and /run allows no execution.
mount -t tmpfs -o mode=755 none /mnt
cp -a /run/payload /mnt/
mkdir -m 1777 /mnt/tmp
cd /mnt/payload
chmod 755 . mirrorcode tests keeper
grep cgroup2 /proc/mounts
as_user() {
  runuser -u tester -- env XDG_RUNTIME_DIR=/run/user/1000 systemd-run --user --scope --quiet "$@"
}
failed=0
for who in root user delegated; do
  case $who in
    root) start='' ;;
    user) start='as_user' ;;
    delegated) start='as_user -p Delegate=yes --slice=app-alone.slice' ;;
  esac
  echo "cgroup2: $who: $($start ./mirrorcode doctor 2>&1 | grep -i 'control groups')"
  if $start env TMPDIR=/mnt/tmp SANDBOX_TEST_KEEPER=/mnt/payload/keeper SANDBOX_TEST_CONTROL_GROUPS=some ./tests --test-threads 2 >out 2>&1; then
    echo "cgroup2: $who: $(grep '^test result' out)"
  else
    cat out
    echo "cgroup2: $who: FAILED"
    failed=1
  fi
done
[ $failed = 1 ] || echo 'cgroup2: all passed'
