package forgeries

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Recorded are the datagrams of all recordings of real kernels in a folder.
func Recorded(folder string) (all [][]byte, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, fmt.Errorf("find recordings in %s: there are %d", folder,
			len(files)))
	}
	for _, file := range files {
		payloads, err := Payloads(file)
		if err != nil {
			return nil, err
		}
		all = append(all, payloads...)
	}
	return all, nil
}

// Payloads are the datagrams of one recording.
func Payloads(file string) (all [][]byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var d struct{ Hex string }
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			return nil, fmt.Errorf("read the recording %s: %w", file, err)
		}
		payload, err := hex.DecodeString(d.Hex)
		if err != nil {
			return nil, fmt.Errorf("read the recording %s: %w", file, err)
		}
		all = append(all, payload)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the recording %s: %w", file, err)
	}
	return all, nil
}
