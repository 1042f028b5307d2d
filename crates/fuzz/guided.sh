#!/bin/sh
# usage: guided.sh INPUTS MINUTES [TARGET]...
# Reads INPUTS inputs for each target, those of MINUTES minutes at most, chosen by coverage (libFuzzer), and prints a table.
# What a target fails with is saved in fuzz-found/; inputs that came to new code stay in target/fuzz-corpus/TARGET, and the
# next run begins with them. Works with any toolchain: no sanitizer but coverage is used.
set -eu
inputs=$1
minutes=$2
shift 2
cargo=${CARGO:-cargo}
host=$(rustc -vV | sed -n 's/^host: //p')
counters="-Cpasses=sancov-module"
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
  counters="$counters -Cllvm-args=-sanitizer-coverage-$flag"
done
# For the programs here alone: build scripts and macros have no libFuzzer to talk to.
RUSTFLAGS="${RUSTFLAGS:-} $counters" $cargo build --quiet --locked --profile fuzz -p fuzz --features guided --bin guided \
  --target "$host" --target-dir target/guided
guided=$PWD/target/guided/$host/fuzz/guided

place=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$place"' EXIT INT TERM
corpus=$PWD/target/fuzz-corpus
mkdir -p fuzz-found "$corpus"
mkdir "$place/tmp"
FUZZ_PREPARE=$corpus "$guided" 2>/dev/null
[ $# -gt 0 ] || set -- $(cd "$corpus" && for words in *.words; do echo "${words%.words}"; done)
printf '%-16s %10s %8s %9s %6s  %s\n' target inputs seconds 'peak MiB' edges found
failed=0
for target in "$@"; do
  log=$place/$target.log
  begun=$(date +%s)
  touch "$place/begun"
  status=0
  # 2 GiB of address space: an input that asks for far more memory than it has bytes ends the program.
  (
    ulimit -v 2097152
    cd "$corpus"
    FUZZ_TARGET=$target TMPDIR=$place/tmp exec "$guided" "$target" -dict="$target.words" -runs="$inputs" \
      -max_total_time=$((minutes * 60)) -max_len="$(cat "$target.longest")" -timeout=600 -report_slow_units=1 -rss_limit_mb=1024 \
      -print_final_stats=1 -artifact_prefix="$OLDPWD/fuzz-found/$target-"
  ) >"$log" 2>&1 || status=$?
  stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -n 1; }
  edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  found=nothing
  # On a busy machine an input may only have waited long: its own processor time counts.
  for slow in "fuzz-found/$target-slow-unit-"*; do
    if [ -e "$slow" ] && FUZZ_TARGET=$target FUZZ_AGAIN=$slow TMPDIR=$place/tmp "$guided" >/dev/null 2>&1; then
      rm "$slow"
    fi
  done
  saved=
  for kind in crash oom timeout slow-unit; do
    saved="$saved$(find fuzz-found -name "$target-$kind-*" -newer "$place/begun" | tr '\n' ' ')"
  done
  if [ -n "$saved" ] || [ "$status" != 0 ]; then
    found="$saved$(grep -m 1 -A 1 'panicked at\|ERROR: libFuzzer\|memory allocation' "$log" | tr '\n' ' ')"
    failed=1
  fi
  printf '%-16s %10s %8s %9s %6s  %s\n' "$target" "$(stat number_of_executed_units)" $(($(date +%s) - begun)) \
    "$(stat peak_rss_mb)" "$edges" "$found"
  rm -rf "$place/tmp" && mkdir "$place/tmp"
done
exit $failed
