// Package codegen pins the generator of the records' deep copies and CRDs in a module of its own:
// its dependencies are none of the product's. From this folder, `go generate .` writes both.
package codegen

//go:generate go tool controller-gen object paths=../../api/... crd:maxDescLen=1000 output:crd:dir=../../charts/epitaph/crds
