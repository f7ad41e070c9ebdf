// A container registry for tests. A module of its own: the product needs nothing of it.
module github.com/epitaph-k8s/epitaph/test/registry

go 1.26.0

require github.com/google/go-containerregistry v0.22.1
