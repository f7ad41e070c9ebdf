//go:build tools

package promtools

// The definitions of the operator's kinds are files of its module; this package of it, which needs
// little, keeps it in go.mod.
import _ "github.com/prometheus-operator/prometheus-operator/pkg/versionutil"
