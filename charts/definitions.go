// Package charts has the files of the chart that the program needs, too.
package charts

import "embed"

// Definitions are the CustomResourceDefinitions of the records, one a file, as the chart of the
// same version has them.
//
//go:embed epitaph/crds/*.yaml
var Definitions embed.FS
