# Thin front for CMake: the two commands of the README, and what developers repeat.
#
#   make            build into build/
#   make run        install what is missing, build, run workflows/instructgpt.ini
#   make test       install what is missing, build, run all tests
#   make sanitize   unit and store tests under the address and undefined-behaviour sanitizers
#   make tsan       what runs in threads under the thread sanitizer
#   make bench      benchmarks beside their peers
#   make gpu-check  builds with CUDA, proves and measures on this machine's GPU (tools/gpu-check --help)
#   make install    PREFIX=/usr/local DESTDIR=
#   make format     clang-format over the sources; check-format only looks

BUILD  ?= build
PREFIX ?= /usr/local
JOBS   ?= $(shell nproc)
SOURCES = $(shell git ls-files '*.c' '*.h')

.PHONY: all run test sanitize tsan bench gpu-check install format check-format clean deps test-deps

all: deps $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS)

$(BUILD)/build.ninja: CMakeLists.txt
	@cmake -G Ninja -S . -B $(BUILD) -DCAIRN_TESTS=OFF >$(BUILD).log 2>&1 || \
		{ cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

deps:
	@tools/install-deps build

test-deps:
	@tools/install-deps test

run: all
	@$(BUILD)/cairn run workflows/instructgpt.ini

test: test-deps
	@cmake -G Ninja -S . -B $(BUILD) -DCAIRN_TESTS=ON
	@cmake --build $(BUILD) -j $(JOBS)
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

# gcc 12's leak checker takes thread-local memory of a loaded library that begins 16 bytes into a
# page for a block of malloc's, and falls over it.
ASAN = intercept_tls_get_addr=0

sanitize: test-deps
	@cmake -G Ninja -S . -B $(BUILD)-sanitize -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 \
		-DCAIRN_SANITIZE=address,undefined
	@cmake --build $(BUILD)-sanitize -j $(JOBS)
	@ASAN_OPTIONS=$(ASAN) ctest --test-dir $(BUILD)-sanitize --output-on-failure -j $(JOBS) \
		-L 'unit|store'

THREADED = test-kernels-pool test-kernels-attention test-kernels-head test-kernels-updates \
	test-store-artifact test-store-cuts test-store-record test-store-threads test-store-fsck \
	test-store-gc test-audit-provenance run-checkpoints run-stages run-resume run-repeat
# A finding in a stage's process ends it, which its test notices. Without the first, each process
# that had threads would sleep for a second at its end; with the last, stages that crash on purpose
# would leave with a status of the sanitizer's.
TSAN = atexit_sleep_ms=0:halt_on_error=1:handle_segv=0

tsan: test-deps
	@cmake -G Ninja -S . -B $(BUILD)-tsan -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 \
		-DCAIRN_SANITIZE=thread
	@cmake --build $(BUILD)-tsan -j $(JOBS) --target $(THREADED) kernels-cpu
	@TSAN_OPTIONS=$(TSAN) ctest --test-dir $(BUILD)-tsan --output-on-failure -R \
		"^($(subst $(eval ) ,|,$(strip $(THREADED))))$$"

bench: deps
	@cmake -G Ninja -S . -B $(BUILD) -DCAIRN_BENCH=ON
	@cmake --build $(BUILD) -j $(JOBS)
	@bench/run $(BUILD)

gpu-check: test-deps
	@tools/gpu-check --build $(BUILD)-cuda

install: all
	@cmake --install $(BUILD) --prefix $(PREFIX)

format:
	@clang-format -i $(SOURCES)

check-format:
	@clang-format --dry-run -Werror $(SOURCES)

clean:
	@rm -rf $(BUILD) $(BUILD)-sanitize $(BUILD)-tsan $(BUILD)-cuda
