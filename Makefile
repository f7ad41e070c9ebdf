# Epitaph. `make help` lists the targets; the two that matter first are `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
GO ?= go
SANDBOX := .cache/bin/sandbox

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The sandbox is built and then executed: `go run` would die of a SIGTERM and leave its child running.
.PHONY: $(SANDBOX)
$(SANDBOX):
	@$(GO) build -o $@ ./test/cmd/sandbox

.PHONY: demo
demo: $(SANDBOX) $(if $(REAL),nodetools) ## build a real control plane, let pods and nodes die, print what each died of (REAL=1: a kernel really panics)
	@exec $(SANDBOX) demo $(if $(REAL),-real)

.PHONY: up
up: $(SANDBOX) ## run the control plane and Epitaph in the foreground, to try things with kubectl (DEMO=1: with the demo's objects)
	@exec $(SANDBOX) up $(if $(DEMO),-demo)

.PHONY: test
test: test-unit test-controlplane ## run every test
	@$(call timed,machines beside chart and image,$(beside))
	@echo "all tests passed"

# These wait more than they work, for kubelets, for a kernel to boot, for controllers: in two rows they keep two cores busy. What
# installs packages is in one of them.
beside = $(MAKE) --no-print-directory test-node test-kernel & row=$$!; failed=; \
  $(MAKE) --no-print-directory test-chart test-image || failed=yes; \
  wait $$row || failed=yes; [ -z "$$failed" ]

# What tests would be skipped without, and the packages that have it: a bus to listen at, a browser to look at the page with, what a
# real node is made of, a PostgreSQL for the archive; and a C compiler with its headers, which the race detector is linked with. Where
# they cannot be installed (we are not root, there is no apt, or, as with Chromium on Ubuntu, no such package) those tests are skipped,
# and say so. Nothing is removed for it, and no service is started.
tool_dbus-daemon = command -v dbus-daemon
tool_chromium = command -v chromium
tool_postgresql = command -v initdb || ls /usr/lib/postgresql/*/bin/initdb
tool_containerd = command -v containerd && command -v runc
tool_containernetworking-plugins = [ -x /usr/lib/cni/ptp ]
tool_c-compiler = echo '\#include <stdlib.h>' | $$($(GO) env CC) -E -
packages_dbus-daemon = dbus-daemon dbus
packages_postgresql = postgresql-15 postgresql
# Debian's package would make a database of the machine's own, and start it.
before_postgresql = mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >>/etc/postgresql-common/createcluster.conf &&
packages_containerd = containerd
packages_c-compiler = gcc+libc6-dev
# install tries the packages that may have a tool, one after another.
define install
@{ $(tool_$(1)); } >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -q && $(before_$(1)) \
  for packages in $(or $(packages_$(1)),$(1)); do \
    SYSTEMD_OFFLINE=1 DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-remove --no-install-recommends $${packages//+/ } && break; \
  done && { $(tool_$(1)); } >/dev/null; } || echo "$(1) cannot be installed here: what needs it is left out"

endef

.PHONY: testtools
testtools:
	$(foreach tool,dbus-daemon chromium postgresql,$(call install,$(tool)))

.PHONY: nodetools
nodetools:
	$(foreach tool,containerd containernetworking-plugins,$(call install,$(tool)))

.PHONY: racetools
racetools:
	$(call install,c-compiler)

.PHONY: test-unit
test-unit: testtools racetools ## unit tests, with the race detector
	@race=-race; { $(tool_c-compiler); } >/dev/null 2>&1 || { race=; echo "no C compiler: unit tests run WITHOUT the race detector"; }; \
	  $(call timed,unit tests,$(GO) test -short $$race -shuffle=on ./...)
	@$(call timed,batch tools' recipes,$(call in_module,test/batchtools))
	@$(call timed,clouds,$(call in_module,cloud))
	@$(call timed,dashboard and mixin,$(call in_module,test/dashboard))

# A nested module, built with the flags of in_nested; what its tests read is no file of it, so that their results are not cached.
in_module = CGO_ENABLED=0 GOFLAGS=-trimpath $(GO) test -C $(1) -count=1 ./...

# Most of these tests wait for a controller: four of them keep two cores busy.
.PHONY: test-controlplane
test-controlplane: controlplane karpenter npd kueue ec2metadata otelcollector testtools ## tests against the real control plane
	@$(call timed,control plane tests,$(GO) test -count=1 -timeout=60m -parallel=4 ./test/sandbox ./test/e2e ./test/generated ./test/otel)

# Not part of `make test`, which has a thousand records there.
.PHONY: test-archive
test-archive: controlplane testtools ## the archive and its database are killed amid ten thousand records
	@$(call timed,archive test,$(GO) test -count=1 -timeout=60m -run='^TestArchiveLosesNothing$$' -v ./test/e2e -args -archive-records=10000)

# Not part of `make test`: the collector takes some minutes to build.
.PHONY: test-otel
test-otel: otelcollector ## of that, OpenTelemetry's own collector, which receives the archive's logs
	@$(call timed,collector test,$(GO) test -count=1 -v ./test/otel)

.PHONY: test-chart
test-chart: controlplane charttools promtools ## install, upgrade and uninstall the chart with the real Helm and cert-manager
	@$(call timed,chart test,$(GO) test -count=1 -timeout=30m -v ./test/chart/...)

# -v shows why it was skipped. CONTAINERD=2 has a containerd 2 of its own, instead of the distribution's.
.PHONY: test-node
test-node: controlplane charttools kubelet nodetools ## pods, the chart in containers, and a whole node in QEMU that dies, on real kubelets, if we are root
	@$(call timed,node test,$(if $(CONTAINERD),EPITAPH_CONTAINERD=$(CONTAINERD) )$(GO) test -p=1 -count=1 -timeout=50m -parallel=16 -v ./test/realnode/...)

# SUITE and KERNEL are suites of Debian whose system and kernel the machine has, in the place of this machine's.
.PHONY: test-realnode
test-realnode: controlplane charttools kubelet nodetools ## of that, the whole node in QEMU alone
	@$(call timed,real node test,$(if $(SUITE),EPITAPH_SUITE=$(SUITE) )$(if $(KERNEL),KERNEL_SUITE=$(KERNEL) )$(GO) test -count=1 -timeout=60m -run='^TestRealNode$$' -v ./test/realnode/installed)

# -v shows why it was skipped, and what it measured.
.PHONY: test-kernel
test-kernel: controlplane ## the netconsole listener on Debian's kernel in QEMU, if we are root
	@$(call timed,kernel test,$(GO) test -count=1 -timeout=30m -v ./test/kernel)

# Not part of `make test`: it is `make demo` and `make test` again, on minimal systems, one after another.
SUITES ?= bookworm trixie
FRESH ?= demo test
.PHONY: test-fresh
test-fresh: ## the demo and every test on minimal Debians with Go, git and make alone (root, debootstrap)
	@for suite in $(SUITES); do test/fresh/fresh.sh $$suite $(FRESH) || exit; done

# Not part of `make test`: it takes more than half an hour. UPSTREAM are flags of test/conformance.
UPSTREAM ?= -docs docs/conformance.md
.PHONY: test-upstream
test-upstream: controlplane ## Kubernetes' own end-to-end tests, without Epitaph and with it
	@$(GO) build -o .cache/bin/conformance ./test/conformance
	@$(call timed,upstream's tests,.cache/bin/conformance $(UPSTREAM))

# Not part of `make test`: a control plane takes ten minutes to build, and the tests on it as long as those on the newest. TESTS are
# flags of go test, such as TESTS=-run=TestEviction; with TESTS=none it is the demo alone.
VERSIONS ?= 1.33 1.34 1.35 1.36
.PHONY: test-versions
test-versions: controlplane karpenter npd kueue ec2metadata testtools ## the demo and the end-to-end tests on the older versions of Kubernetes that the chart allows
	$(foreach version,$(VERSIONS),$(call on_version,$(version)))

# What a release does not have by default, its tests do not ask for: devices that are tainted (KEP-5055), by rules since 1.37; and a Job
# controller that counts while it waits to make pods again (kubernetes#139428: 1.36.3 does, none of the newest before it).
without_1.33 = ^TestDevice|^TestPodsThatLeaveTogetherAreOneEvent$$
without_1.34 = $(without_1.35)
without_1.35 = $(without_1.33)|^TestEveryRuleIsNeeded$$/^(get_resourceclaims|list_resourceslices)$$
without_1.36 = ^TestDeviceThatAnAdministratorTaints$$
define on_version
@$(SANDBOX) build controlplane-$(1)
@$(call timed,demo on $(1),$(call assets,$(1)) $(SANDBOX) demo)
@[ "$(TESTS)" = none ] || { $(call timed,control plane tests on $(1),$(call assets,$(1)) \
  $(GO) test -count=1 -timeout=90m -parallel=4 -skip='$(without_$(1))' $(TESTS) ./test/e2e); }

endef
assets = KUBEBUILDER_ASSETS="$$(dirname "$$($(SANDBOX) path controlplane-$(1) kube-apiserver)")"

# Each target fuzzes for FUZZTIME: what the network and the API server send, and what people write.
FUZZTIME ?= 1m
.PHONY: fuzz
fuzz: ## fuzz every parser for FUZZTIME (1m) each: the long form of the tests
	@$(call timed,fuzzing,$(fuzz))
fuzz = git grep -o '^func Fuzz[[:alnum:]]*' -- '*_test.go' | sed -E 's,/[^/]*:func , ,' | while read -r dir target; do \
    echo "$$dir $$target"; \
    $(GO) -C $$dir test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=100x . || exit; \
  done

# The pictures of the page are what a test sees in headless Chromium, which is installed where apt can.
.PHONY: screenshots
screenshots: controlplane ## take the pictures of docs/page.md anew
	@command -v chromium >/dev/null || (apt-get update -q && apt-get install -qy --no-install-recommends chromium fonts-dejavu-core)
	@EPITAPH_SCREENSHOTS=$(CURDIR)/docs/images $(GO) test ./test/e2e -run='^TestPageInABrowser$$' -count=1 -v

.PHONY: bench
bench: bench-webhook bench-gc bench-netconsole bench-scale bench-audit bench-page ## every benchmark, one after another

.PHONY: bench-webhook
bench-webhook: controlplane ## what the webhook costs a delete, as ratios to none
	@$(GO) run ./test/bench/webhook

.PHONY: bench-gc
bench-gc: controlplane ## how long orphans stay, beside the built-in collector; writes a pod
	@$(GO) run ./test/bench/gc

.PHONY: bench-netconsole
bench-netconsole: controlplane ## datagrams a second, their cost, and from a panic to the last pod
	@$(GO) run ./test/bench/netconsole

.PHONY: bench-scale
bench-scale: controlplane ## memory and start-up beside 5,000 nodes, 150,000 pods and 20,000 owners
	@$(GO) run ./test/bench/scale

.PHONY: bench-audit
bench-audit: controlplane ## what it costs to record 100 deletions a second, and the Events of a drain of 5,000
	@$(GO) run ./test/bench/audit

# Not part of `make bench`: it takes a quarter of an hour, and fails if a reason is lost.
.PHONY: bench-lost
bench-lost: controlplane ## what is lost when a replica is killed again and again, and of 10,000 pods that a crowd removes
	@$(GO) run ./test/bench/lost

# Not part of `make bench`: it builds the program with the SDKs of the clouds.
.PHONY: bench-cloud
bench-cloud: controlplane ## how long nodes and pods take to leave while a cloud is asked, and while it hangs
	@$(GO) run ./test/bench/cloud

.PHONY: bench-page
bench-page: controlplane ## how long a visitor waits beside 100,000 records, and the memory for them
	@$(GO) run ./test/bench/page

# Not part of `make bench`: it needs a PostgreSQL. RECORDS is how many are in that.
RECORDS ?= 1000000
.PHONY: bench-archive
bench-archive: testtools ## what the archive takes in a second, look-ups and reports among a million records
	@$(GO) run ./test/bench/archive -records $(RECORDS)

# Not part of `make bench`: it takes five minutes.
.PHONY: bench-without-archive
bench-without-archive: controlplane ## what the manager takes because the archive's databases are linked into the program
	@$(GO) run ./test/bench/withoutarchive

# PLATFORM, such as linux/amd64, is the one to build for, where every node has it.
PLATFORM ?=
CLOUD ?=
of_image = $(if $(PLATFORM),--platform $(PLATFORM)) $(if $(CLOUD),--cloud)
# VERSION is stamped into the program, and is the image's tag.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
.PHONY: image
image: ## build the container image without a Docker engine: dist/epitaph.oci.tar (CLOUD=1: and that of what asks the clouds)
	@$(GO) build -C image -o ../.cache/bin/image .
	@$(call timed,image,.cache/bin/image build --version $(VERSION) $(of_image))

REGISTRY ?=
KEY ?=
.PHONY: push
push: ## build the image, push it and the chart: make push REGISTRY=registry.example/team (log in there before; KEY=FILE signs)
	@[ -n "$(REGISTRY)" ] || { echo "say where to: make push REGISTRY=HOST[:PORT][/FOLDER]"; exit 2; }
	@$(GO) build -C image -o ../.cache/bin/image .
	@$(call timed,push,.cache/bin/image push --version $(VERSION) --registry $(REGISTRY) $(if $(KEY),--key $(KEY)) $(of_image))

# IMAGE is the repository in which the image will be, for the chart; KEY signs.
IMAGE ?=
.PHONY: release
release: ## everything that is handed out, in dist/VERSION: make release VERSION=v1.2.3 IMAGE=registry.example/team/epitaph KEY=FILE
	@$(GO) build -C image -o ../.cache/bin/image .
	@$(call timed,release,.cache/bin/image release --version $(VERSION) $(if $(IMAGE),--image $(IMAGE)) $(if $(KEY),--key $(KEY)))

# krew takes semantic versions only, so this asks for one.
.PHONY: plugin
plugin: ## pack the kubectl plugin for krew, and its manifest: make plugin VERSION=v1.2.3
	@$(GO) build -C image -o ../.cache/bin/image .
	@$(call timed,plugin,.cache/bin/image plugin --version $(VERSION))

.PHONY: test-image
test-image: controlplane charttools ## image, plugin and release are the same wherever they are made; Helm, krew and Sigstore take them
	@$(call timed,image test,$(GO) test -C image -p=1 -count=1 -timeout=30m ./...)

.PHONY: generate
generate: ## write deep copies, CRDs, docs/values.md, the chart's README, schema and dashboard, the references of fields, docs/kernel-lines.md and the tables of docs/reasons.md anew
	@cd test/codegen && $(GO) generate .
	@page=$$($(GO) run ./test/cmd/valuesdoc <charts/epitaph/values.yaml) && echo "$$page" >docs/values.md
	@page=$$($(GO) run ./test/cmd/valuesdoc readme <charts/epitaph/values.yaml) && echo "$$page" >charts/epitaph/README.md
	@schema=$$($(GO) run ./test/cmd/valuesdoc schema <charts/epitaph/values.yaml) && printf "%s\n" "$$schema" >charts/epitaph/values.schema.json
	@board=$$(CGO_ENABLED=0 GOFLAGS=-trimpath $(GO) run -C test/dashboard .) && printf "%s\n" "$$board" >charts/epitaph/files/dashboard.json
	@board=$$(CGO_ENABLED=0 GOFLAGS=-trimpath $(GO) run -C test/dashboard . archive) && printf "%s\n" "$$board" >docs/examples/grafana-archive.json
	@for page in configuration:config records:records; do text=$$($(GO) run ./test/cmd/fieldsdoc $${page#*:}) && printf "%s\n" "$$text" >docs/$${page%:*}.md || exit; done
	@page=$$($(GO) run ./test/cmd/reasonsdoc <docs/reasons.md) && echo "$$page" >docs/reasons.md
	@page=$$($(GO) run ./test/cmd/kernellinesdoc) && printf "%s\n" "$$page" >docs/kernel-lines.md

.PHONY: controlplane
controlplane: $(SANDBOX) ## build etcd, the Kubernetes components and kwok (once; cached)
	@$(SANDBOX) build controlplane tools

.PHONY: kubelet
kubelet: $(SANDBOX) ## build the kubelet of the release (once; cached)
	@$(SANDBOX) build kubelet

.PHONY: charttools
charttools: $(SANDBOX) ## build Helm and cert-manager (once; cached)
	@$(SANDBOX) build charttools

.PHONY: promtools
promtools: $(SANDBOX) ## build Prometheus' promtool (once; cached)
	@$(SANDBOX) build promtools

.PHONY: karpenter
karpenter: $(SANDBOX) ## build Karpenter with its kwok provider (once; cached)
	@$(SANDBOX) build karpenter

.PHONY: ec2metadata
ec2metadata: $(SANDBOX) ## build amazon-ec2-metadata-mock (once; cached)
	@$(SANDBOX) build ec2metadata

.PHONY: otelcollector
otelcollector: $(SANDBOX) ## build OpenTelemetry's collector (once; cached)
	@$(SANDBOX) build otelcollector

.PHONY: npd
npd: $(SANDBOX) ## build the node-problem-detector (once; cached)
	@$(SANDBOX) build npd

.PHONY: kueue
kueue: $(SANDBOX) ## build Kueue and the controller of JobSets (once; cached)
	@$(SANDBOX) build kueue jobset

.PHONY: fmt
fmt: ## format the sources
	@gofmt -w $$(git ls-files '*.go')

.PHONY: check
check: fmt-check vet tidy-check generated-check deadcode lint ## formatting, vet, module files, generated files, dead code, lint

.PHONY: fmt-check
fmt-check:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "run make fmt: $$unformatted"; exit 1; }

# Nested modules are looked at with the flags with which test/binaries builds them, so that what they depend on is compiled
# once. Some only pin what is built, and have no package of ours.
MODULES = $(patsubst %/,%,$(dir $(shell git ls-files '*go.mod')))
in_nested = for dir in $(filter-out .,$(MODULES)); do \
    (cd $$dir; export CGO_ENABLED=0 GOFLAGS=-trimpath; [ -z "$$($(GO) list ./... 2>/dev/null)" ] || $(1)) || exit; \
  done

.PHONY: vet
vet: ## go vet, in every module
	@$(GO) vet ./...
	@$(call in_nested,$(GO) vet ./...)

.PHONY: tidy-check
tidy-check: ## go.mod and go.sum say what is used
	@for dir in $(MODULES); do (cd $$dir && $(GO) mod tidy -diff >/dev/null) || { echo "run go mod tidy in $$dir"; exit 1; }; done

# What is generated is generated again in its place: the tree must not differ from what it was.
tree = { git diff; git ls-files --others --exclude-standard; }
.PHONY: generated-check
generated-check: ## what is generated is what would be generated now
	@before=$$($(tree)); $(MAKE) --no-print-directory generate; [ "$$($(tree))" = "$$before" ] || \
	  { echo "generated files were not current; make generate has changed them, commit that:"; git status --short; exit 1; }

# Product code must be reached from a program, and not from its tests alone. (Of test code the linter says what nothing uses;
# deadcode would take some minutes and 3 GiB over all tests.)
.PHONY: deadcode
deadcode: $(SANDBOX) ## product code that no program reaches
	@$(SANDBOX) build lint
	@dead=$$($$($(SANDBOX) path deadcode) ./cmd/... ./test/cmd/... | sed '/^test\//d'); \
	  [ -z "$$dead" ] || { echo "no program reaches this; delete it, or move what only tests need into their files:"; echo "$$dead"; exit 1; }

.PHONY: lint
lint: $(SANDBOX) ## golangci-lint, built from its module, in every module
	@$(SANDBOX) build lint
	@$(call timed,lint,$(lint))

# What calls the SDKs of clouds is looked at without their types: those of EC2 alone take seven minutes of a processor. LINT_CLOUD= has
# every linter look at that, too.
LINT_CLOUD ?= --fast-only
lint = linter=$$($(SANDBOX) path golangci-lint) && $$linter run ./... && \
  $(call in_nested,$$linter run $$([ $$dir != cloud ] || echo $(LINT_CLOUD)) ./...)

# timed runs a command and says how long it took, whether it succeeded or not.
define timed
start=$$SECONDS; status=0; $(2) || status=$$?; echo "$(1): $$((SECONDS - start)) s"; exit $$status
endef
