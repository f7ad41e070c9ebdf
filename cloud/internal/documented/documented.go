// Package documented fills in the replies that the tests of the clouds' clients have in testdata,
// in the form that each cloud documents.
package documented

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"text/template"
)

// Reply fills in a file of testdata/documented of the package under test. In the file, quote writes
// a JSON string. It panics over a file that is not there or wrong.
func Reply(name string, with any) string {
	file, err := template.New(name).Funcs(template.FuncMap{"quote": func(s string) (string, error) {
		b, err := json.Marshal(s)
		return string(b), err
	}}).ParseFiles(filepath.Join("testdata", "documented", name))
	if err != nil {
		panic(err)
	}
	var b bytes.Buffer
	if err := file.Execute(&b, with); err != nil {
		panic(err)
	}
	return b.String()
}
