package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// maxFileBytes bounds a configuration file.
const maxFileBytes = 1 << 20

// Load reads and checks the file at path. Fields that it leaves out have their defaults.
func Load(path string) (Config, error) {
	data, err := Read(path)
	if err != nil {
		return Config{}, err
	}
	c, err := Parse(data)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s:\n%w", path, err)
	}
	return c, nil
}

// Read returns what the file at path contains, for [Parse].
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w: name an existing file with --config",
			err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("read the configuration %s: it has %d bytes, at most %d are allowed",
			path, info.Size(), maxFileBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return data, nil
}

// Parse reads and checks a configuration. The error joins everything that is wrong, each with the
// path of its field.
func Parse(data []byte) (Config, error) {
	file, err := section(data)
	if err != nil {
		return Config{}, err
	}
	c := Default()
	s := shape{known: fieldPaths(), paths: map[string]bool{}}
	s.object(file, reflect.ValueOf(&c).Elem(), "")
	rest, err := json.Marshal(file)
	if err != nil {
		return Config{}, fmt.Errorf("encode what fits: %w", err)
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(rest, &c); err != nil {
		return Config{}, fmt.Errorf("decode what fits: %w", err)
	}
	for _, w := range c.wrongs() {
		if !s.told(w.path) {
			s.mistakes = append(s.mistakes, w)
		}
	}
	if len(s.mistakes) > 0 {
		return Config{}, errors.Join(s.mistakes...)
	}
	return c, nil
}

// section reads the file, which must be one mapping. An empty file is an empty mapping.
func section(data []byte) (map[string]any, error) {
	if severalDocuments(data) {
		return nil, errors.New(
			"the file contains more than one document: keep one, without --- after its start")
	}
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("the file is not valid YAML: %w", err)
	}
	var file any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(asJSON, &file); err != nil {
		return nil, fmt.Errorf("read the YAML as JSON: %w", err)
	}
	switch x := file.(type) {
	case nil:
		return map[string]any{}, nil
	case map[string]any:
		return x, nil
	default:
		return nil, fmt.Errorf("the file is %s: write fields like kind: %s", found(file), Kind)
	}
}

// severalDocuments reports whether a document follows the first; the decoder would silently ignore
// it.
func severalDocuments(data []byte) bool {
	begun := false
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, " \t\r\n")
		marker := bytes.Equal(line, []byte("---")) || bytes.HasPrefix(line, []byte("--- "))
		if marker && begun {
			return true
		}
		begun = begun || marker || len(line) > 0 && line[0] != '#' && line[0] != '%'
	}
	return false
}
