# Two targets do everything: run and test. The rest are their parts, and what takes longer.

VERSION  := $(shell packaging/version)
REVISION := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION)
# No destination needs HTTP/2, which is half a megabyte.
TAGS     := nethttpomithttp2
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Where what is built for others goes, and for which architectures.
DIST     := dist
ARCHES   := amd64 arm64
IMAGE    := localhost/enawatch:$(subst +,-,$(subst ~,-,$(VERSION)))
# Tests make network namespaces, which takes root.
AS_ROOT  := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E env "PATH=$$PATH")

.DEFAULT_GOAL := help
.PHONY: help build run test test-beds lint generate generate-bpf bench bench-linklocal bench-host generate-bench dist binaries archives deb rpm image sbom sums packages clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/enawatch, one static binary
	@CGO_ENABLED=0 go build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o bin/enawatch ./cmd/enawatch

run: build ## Build, then run the agent here: EMF on stdout, /metrics on 127.0.0.1:9109
	@bin/enawatch once >/dev/null 2>&1; if [ $$? -ne 3 ]; then \
	  exec bin/enawatch run --publish-interval=10s --state-dir=bin/state; \
	else \
	  echo "This machine has no ENA interface: running on a simulated one (dns-burst)." >&2; \
	  exec bin/enawatch run --publish-interval=10s --simulate=dns-burst; \
	fi

test: packages ## Install what the tests need, then run all of them (as root: they make network namespaces)
	$(AS_ROOT) go test -race ./...

test-beds: ## Run the binary against real systems (as root; builds Prometheus, Cortex and Kubernetes once: 25 minutes)
	@test/packages beds
	$(AS_ROOT) go test -tags beds -p 1 -timeout 60m ./test/beds/...

lint: ## Check formatting, go vet, staticcheck and shell scripts
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt these: $$unformatted"; exit 1; }
	go vet -tags beds ./...
	go vet -tags footprint ./cmd/enawatch
	go run $(STATICCHECK) -tags beds ./...
	shellcheck $$(git grep -lE '^#!/(usr/)?bin/(env )?(ba)?sh' | grep -v /testdata/)

generate: ## Write everything that is generated: docs, tables, man pages
	go generate ./...

BPF2GO := github.com/cilium/ebpf/cmd/bpf2go@v0.22.0
generate-bpf: ## Compile the eBPF programs, which are committed (needs clang 14 or later and libbpf-dev)
	cd agent/linklocal && GOPACKAGE=linklocal go run $(BPF2GO) -target bpfel -output-stem programs \
	  -cflags "-O2 -mcpu=v3 -Wall -Werror -I/usr/include/$$(uname -m)-linux-gnu" programs bpf/linklocal.c
	cd agent/linklocal && sha256sum bpf/linklocal.c programs_bpfel.o > bpf/SHA256SUMS

bench: ## Benchmark the hot path, beside safchain/ethtool (as root)
	$(AS_ROOT) go test -run '^$$' -bench . ./agent/ena ./agent/delta ./agent/window ./agent/sink/...

bench-linklocal: ## Measure what a packet costs with the link-local programs and without (as root, 1 minute)
	$(AS_ROOT) go test -run '^$$' -bench Packet ./agent/linklocal

FOOTPRINT := go run ./test/footprint
bench-host: ## Measure the agent beside its peers on this host, and print the table (as root, 5 minutes)
	@test/packages bench
	$(AS_ROOT) $(FOOTPRINT)

generate-bench: ## The same, written into docs/footprint.md
	@test/packages bench
	$(AS_ROOT) $(FOOTPRINT) -write docs/footprint.md

binaries:
	@for arch in $(ARCHES); do \
	  CGO_ENABLED=0 GOARCH=$$arch go build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o $(DIST)/linux-$$arch/enawatch ./cmd/enawatch || exit; \
	done

dist: archives deb rpm image sbom sums ## Build all that is released into dist: tarballs, packages, image, SBOMs, SHA256SUMS

archives: binaries
	@for arch in $(ARCHES); do packaging/archive $(DIST) $$arch $(DIST) || exit; done

deb: binaries ## Build the Debian packages in dist (with nfpm)
rpm: binaries ## Build the RPM packages in dist (with nfpm)
deb rpm:
	@for arch in $(ARCHES); do packaging/package $@ $(DIST) $$arch $(DIST) || exit; done

sbom: binaries
	@for arch in $(ARCHES); do packaging/sbom $(DIST) $$arch $(DIST) || exit; done

# Of what this commit made: dist may hold older files too.
sums: archives deb rpm image sbom
	@cd $(DIST) && sha256sum enawatch[_-]$(VERSION)[_-]* >SHA256SUMS

image: binaries ## Build the container image, an OCI archive in dist (with buildah)
	@test/packages image
	@packaging/image/build $(DIST) $(IMAGE) $(DIST)/enawatch_$(VERSION)_oci.tar

packages:
	@test/packages

clean: ## Remove what was built
	rm -rf bin $(DIST)
