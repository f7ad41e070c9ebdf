package podcache

import (
	"encoding/hex"
	"strings"
)

// uuidDashes are where a UUID's text has its dashes.
var uuidDashes = [...]int{8, 13, 18, 23}

// parseUUID converts 36 characters to 16 bytes. It accepts only what formatUUID would return, and
// not the all-zero UUID, which stands for none.
func parseUUID(text string) (id [16]byte, ok bool) {
	n, err := hex.Decode(id[:], []byte(strings.ReplaceAll(text[:min(len(text), 36)], "-", "")))
	return id, err == nil && n == len(id) && id != [16]byte{} && formatUUID(id) == text
}

func formatUUID(id [16]byte) string {
	digits := hex.AppendEncode(make([]byte, 0, 36), id[:])
	for _, at := range uuidDashes {
		digits = append(digits[:at], append([]byte{'-'}, digits[at:]...)...)
	}
	return string(digits)
}
