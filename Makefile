# Front door: see README.md. Each target says what it is about to do.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := $(shell sed 's/\#.*//' apt-packages.txt)
MISSING = $(shell for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || echo $$p; done)

.PHONY: packages build test asan
packages:
	@missing="$(MISSING)"; if [ -n "$$missing" ]; then echo "== installing:" $$missing; \
	  $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; fi

build: packages
	@echo "== building the libraries into build/release"
	cmake --preset release
	cmake --build --preset release

test: packages
	@echo "== building and running the whole test suite in build/dev"
	cmake --preset dev
	cmake --build --preset dev
	ctest --preset dev

asan: packages
	@echo "== building and running the test suite under address and undefined-behaviour sanitizers"
	cmake --preset asan
	cmake --build --preset asan
	ctest --preset asan
