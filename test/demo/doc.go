// Package demo tells the project's story on a real control plane: pods and nodes die in the ways
// that the project is about, and each scene checks with the API server that what died said why. A
// scene that does not come out fails the whole.
package demo
