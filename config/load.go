package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// maxFileBytes bounds a configuration file.
const maxFileBytes = 1 << 20

// Load reads and checks the file at path. Fields that it leaves out have their defaults.
func Load(path string) (Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w: name an existing file with --config", err)
	}
	if info.Size() > maxFileBytes {
		return Config{}, fmt.Errorf("read the configuration %s: it has %d bytes, at most %d are allowed", path, info.Size(), maxFileBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	c, err := Parse(data)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s:\n%w", path, err)
	}
	return c, nil
}

// Parse reads and checks a configuration. The error joins everything that is wrong, each with the path of its field.
func Parse(data []byte) (Config, error) {
	c := Default()
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return Config{}, fmt.Errorf("not valid YAML: %w", err)
	}
	if string(asJSON) == "null" {
		asJSON = []byte("{}")
	}
	strict, err := kjson.UnmarshalStrict(asJSON, &c)
	if err != nil {
		return Config{}, wrongType(err)
	}
	for n, e := range strict {
		strict[n] = unknownField(e)
	}
	return c, errors.Join(append(strict, c.Validate()...)...)
}

// unknownField turns `unknown field "gc.quarantien"` into the house's form and adds the remedy.
func unknownField(err error) error {
	path, ok := strings.CutPrefix(err.Error(), "unknown field ")
	if !ok {
		return err
	}
	path = strings.Trim(path, `"`)
	near := nearest(path, fieldPaths())
	if near == "" {
		return fmt.Errorf("%s: no such field: remove it", path)
	}
	return fmt.Errorf("%s: no such field: did you mean %s?", path, near)
}
