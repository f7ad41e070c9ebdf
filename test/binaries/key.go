package binaries

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keyLength is how many hexadecimal digits of the hash name a folder: enough not to collide among a
// user's versions.
const keyLength = 16

// key hashes everything that decides what the group's programs are. Names and lengths go in beside
// the contents, so that no two different sets of files look the same.
func key(checkout string, group Group, goVersion string) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n", goVersion, group.LDFlags)
	if group.Tags != "" {
		fmt.Fprintf(sum, "%s\n", group.Tags)
	}
	for _, module := range sortedNames(group.LeftOut) {
		fmt.Fprintf(sum, "without %s %s\n", module, group.LeftOut[module])
	}
	files, err := keyFiles(checkout, group)
	if err != nil {
		return "", err
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(checkout, group.Dir, file))
		if err != nil {
			return "", fmt.Errorf("hash the sources of %s: %w", group.Name, err)
		}
		fmt.Fprintf(sum, "%s %d\n", file, len(content))
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:keyLength], nil
}

// keyFiles lists, relative to the module, what is hashed. WalkDir goes in lexical order, so the
// list is the same everywhere.
func keyFiles(checkout string, group Group) ([]string, error) {
	module := filepath.Join(checkout, group.Dir)
	mod, sums := group.modFiles()
	files := []string{mod, sums}
	for _, source := range group.Sources {
		err := filepath.WalkDir(filepath.Join(module, source),
			func(path string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				file, err := filepath.Rel(module, path)
				files = append(files, filepath.ToSlash(file))
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("list the sources in %s: %w", source, err)
		}
	}
	return files, nil
}

// Checkout finds the root of this repository from the working directory upwards.
func Checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		_, err := os.Stat(filepath.Join(at, ControlPlane.Dir, "go.mod"))
		if err == nil {
			return at, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the checkout: %w", err)
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no checkout of Epitaph holds %s: run this from within one", dir)
		}
	}
}
