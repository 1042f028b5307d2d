# make demo   the whole line on a real program: build the target, replay a recorded rebuild, score it
# make test   every test of the usual kind: format, lints, licences, unit, property, CLI and whole-program tests

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
MIRRORCODE := $(CARGO) run --release --quiet --bin mirrorcode --

.PHONY: demo test test-languages test-golden test-independents test-targets test-private test-attacks test-slurm test-sync test-kubernetes test-cgroup2 test-models test-gateway test-mcp test-people test-crash test-pages test-results test-screen test-serve fuzz bench setup lint clean

# Debian packages by name: mmdebstrap and uidmap build root filesystems without root.
PACKAGES := mmdebstrap uidmap

setup:
	@missing=; for p in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing:$$missing"; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install a Rust toolchain (1.88 or newer)" >&2; exit 3; }

demo: setup
	@$(CARGO) build --release --quiet --bin mirrorcode
	@sh demo/run.sh target/release/mirrorcode

lint: setup
	$(CARGO) fmt --all --check
	rustfmt --edition 2024 --check crates/oracle/shim/main.rs crates/oracle/guard/lib.rs
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test: lint
	$(CARGO) test --workspace --locked

# Compiled languages and whole images: builds the toolchain images, needs the package mirror.
test-languages: setup
	$(CARGO) test --locked -p cli --test line -- --ignored
	$(CARGO) test --locked -p image -- --ignored

# The source code of real references, fetched and screened: needs the package mirror.
test-screen: setup
	$(CARGO) test --locked -p cli --test screen -- --ignored

# One whole rebuild in each language, each of which has to be solved: builds what images it lacks.
test-golden: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	sh tests/golden.sh target/release/mirrorcode

# The table of docs/src/independents.md: other people's programs as prebuilt submissions. Compiles some crates once.
test-independents: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	sh tests/independents.sh target/release/mirrorcode

# Builds and checks every target from a clean cache: some minutes, needs the package mirror.
test-targets: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	sh tests/targets.sh target/release/mirrorcode

# The sealed sample targets from an empty cache: with their key, without it, killed in the middle, and a search of the disk
# for what they hold. Minutes, needs the package mirror and memory at /dev/shm.
test-private: PACKAGES += python3 zstd
test-private: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	sh tests/private/run.sh target/release/mirrorcode

# Every attack on the sandboxes, and its twin with the wall removed: some minutes, builds what images it lacks.
test-attacks: setup
	$(CARGO) test --release --locked -p cli --test attacks -- --include-ignored --nocapture --test-threads 1

# A campaign of 200 runs on a real Slurm of two nodes, on this machine, under faults; and the same one without Slurm. As an
# ordinary user, whom it makes where it is root's. RUNS says how many; 200 take about an hour on two cores. Downloads and
# installs Debian's Slurm, whose services it does not start.
SLURM_PACKAGES := slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins python3

test-slurm: PACKAGES += $(SLURM_PACKAGES)
test-slurm: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	sh tests/slurm/run.sh target/release/mirrorcode

# Runs to an S3-compatible server that others wrote (moto) and back: killed at random instants, a server that fails, a damaged
# object. Installs moto into ~/.cache/mirrorcode-sync once, about 320 MB, needs the package mirror. RUNS, KILLS and SEED.
test-sync: PACKAGES += python3-venv python3-pip
test-sync: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	$(CARGO) build --release --quiet -p report --example campaign_runs
	sh tests/sync/run.sh target/release/mirrorcode target/release/examples/campaign_runs

# A campaign's manifests against the published schemas of Kubernetes 1.30 to 1.37, from PyPI; with KUBECTL_SERVER (options of
# kubectl that name a cluster) a dry run there too.
test-kubernetes: PACKAGES += python3-venv python3-pip
test-kubernetes: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	sh tests/kubernetes/run.sh target/release/mirrorcode

# The sandbox under control groups version 2, in a virtual machine with a Debian system: two to six minutes.
test-cgroup2: PACKAGES += qemu-system-x86 genext2fs
test-cgroup2: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="sh $(CURDIR)/tests/cgroup2/run.sh $(CURDIR)/target/release/mirrorcode $(CURDIR)/target/debug/sandbox-keeper" \
	  $(CARGO) test --locked -p sandbox --test worker

# Real model servers on loopback, LiteLLM's proxy and llama.cpp with a model made on the spot: installs about 1 GB of
# Python packages into ~/.cache/mirrorcode-models once, needs the package mirror.
test-models: setup
	CARGO="$(CARGO)" sh tests/models/run.sh

# Everything that reads a stranger's bytes, N inputs for each target. By default coverage leads what is changed, which needs
# a C++ compiler, and what came to new code is kept in target/fuzz-corpus; GUIDED=no changes that at random, up to
# five times as fast. TARGETS names some of the targets, MINUTES bounds each.
N := 10000000
MINUTES := 600
GUIDED := yes
# Memory that one input frees serves the next, instead of going back to the system and coming again.
FREED := MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=1000000000

fuzz: PACKAGES += g++
fuzz: setup
ifeq ($(GUIDED),yes)
	@$(FREED) CARGO="$(CARGO)" sh crates/fuzz/guided.sh $(N) $(MINUTES) $(TARGETS)
else
	@$(FREED) $(CARGO) run --profile fuzz --quiet -p fuzz --bin fuzz -- --corpus target/fuzz-corpus --inputs $(N) \
	  --minutes $(MINUTES) $(TARGETS)
endif

# Pages of runs in Chromium: layout, accessibility, hostile output, speed. Installs puppeteer-core and axe-core from npm
# into ~/.cache/mirrorcode-pages once; screenshots and figures go to target/pages.
test-pages: PACKAGES += chromium fonts-noto-core python3 curl
test-pages: setup
	CARGO="$(CARGO)" sh tests/pages/run.sh target/pages

# Every figure of `mirrorcode results` made again from its rows by pandas, scipy and statsmodels, the same in CSV, Parquet and
# JSON; and logs opened by Inspect. Installs about 900 MB of Python packages into ~/.cache/mirrorcode-results once.
test-results: PACKAGES += python3-venv python3-pip
test-results: setup
	CARGO="$(CARGO)" sh tests/results/run.sh

# A real server: a submission that is scored again, a kill -9 in the middle of that, changed bundles, schemathesis against its
# OpenAPI, and how many reads it answers in a second. Installs about 100 MB of Python packages into ~/.cache/mirrorcode-serve once.
test-serve: PACKAGES += python3-venv python3-pip curl zstd minisign wrk
test-serve: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	CARGO="$(CARGO)" sh tests/serve/run.sh target/release/mirrorcode

# A thousand runs of a scripted agent, killed at random instants and resumed to the end; and one on a disk that fills up.
# 16 minutes on two cores, beside other work; says every fifty runs how it stands. `make test` does it to eight runs.
test-crash: setup
	MIRRORCODE_KILLED_RUNS=$${MIRRORCODE_KILLED_RUNS:-1000} nice $(CARGO) test --release --locked -p cli --test kill -- --nocapture --test-threads 1

# The gateway: the vendors' SDKs and real agents (Claude Code, Codex, mini-swe-agent, Gemini CLI) before a provider's
# stand-in on loopback: installs them from npm and pip, about 1.5 GB, needs the package mirrors.
GATEWAY_PACKAGES := python3-venv python3-pip npm

test-gateway: PACKAGES += $(GATEWAY_PACKAGES)
test-gateway: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	$(CARGO) build --release --quiet -p model --example gateway
	sh tests/gateway/run.sh target/release/mirrorcode target/release/examples/gateway

# Clients of the Model Context Protocol that others wrote (the Python and TypeScript SDKs, the inspector) complete a task:
# installs them from pip and npm, about 220 MB, needs the package mirrors.
MCP_PACKAGES := python3-venv python3-pip npm

test-mcp: PACKAGES += $(MCP_PACKAGES)
test-mcp: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	sh tests/mcp/run.sh target/release/mirrorcode

# A person's session on a terminal, and its recording before asciinema's own reader and player.
test-people: PACKAGES += python3-venv python3-pip
test-people: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	sh tests/people/run.sh target/release/mirrorcode

# Each prints ratios to what a user would have instead, in one run. Quiet machines give steady figures.
BENCH_PACKAGES := bubblewrap python3 python3-venv runc

bench: PACKAGES += $(BENCH_PACKAGES)
bench: setup
	$(CARGO) build --release --quiet --bin mirrorcode
	PATH=$$PATH:/usr/sbin $(CARGO) run --release --quiet -p sandbox --example floor
	$(CARGO) run --release --quiet -p cli --example score_ratio
	sh benches/oracle.sh target/release/mirrorcode
	$(CARGO) build --release --quiet -p model --example gateway
	sh benches/gateway.sh target/release/examples/gateway
	$(CARGO) run --release --quiet -p cli --example soak
	$(CARGO) build --release --quiet -p run --example turns
	sh benches/turns.sh target/release/mirrorcode target/release/examples/turns
	$(CARGO) build --release --quiet -p campaign --example scale --example week
	sh benches/week.sh target/release/examples/scale target/release/examples/week target/release/examples/turns

clean:
	$(CARGO) clean
