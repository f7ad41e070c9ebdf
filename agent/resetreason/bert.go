package resetreason

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
)

const (
	// maxRegionBytes bounds the firmware's record; firmwares reserve some KiB.
	maxRegionBytes = 256 << 10
	// maxSections bounds the errors in one record.
	maxSections = 64
)

// Sizes and offsets of ACPI 6.5, 18.3.2.7 (Generic Error Status Block) and 18.3.2.7.1 (Generic
// Error Data Entry).
const (
	blockBytes    = 20
	blockData     = 12 // the length of the entries
	blockSeverity = 16
	entryBytes    = 64
	entrySeverity = 16
	entryRevision = 20
	entryData     = 24 // the length of what follows the entry
	// stamped is the revision from which on an entry has a time stamp at its end.
	stamped    = 0x300
	stampBytes = 8
)

// severities that end a boot: the others were corrected or only noted.
const (
	recoverable = 0
	fatal       = 1
)

// sections names what UEFI calls by a GUID (UEFI 2.10, appendix N.2.2), in the bytes of memory.
var sections = map[[16]byte]string{
	guid("9876ccad47b44bdbb65e16f193c4f3db"): "processor",
	guid("dc3ea0b0a1444797b95b53fa242b6e1d"): "processor", // x86
	guid("e19e3d16bc1111e49caac2051d5d46b0"): "processor", // ARM
	guid("a5bc11146f644edeb8633e83ed7c83b1"): "memory",
	guid("d995e954bbc1430fad91b44dcb3c6f35"): "PCI Express",
	guid("c57539633b844095bf78eddad3f9c9dd"): "PCI",
	guid("81212a9609ed499694718d729c8e69ed"): "firmware",
}

// guid is a GUID as it lies in memory: its first three fields are little-endian.
func guid(digits string) (g [16]byte) {
	if n, err := hex.Decode(g[:], []byte(digits)); err != nil || n != len(g) {
		panic("resetreason: a GUID of its own cannot be read: " + digits)
	}
	for _, field := range [][]byte{g[0:4], g[4:6], g[6:8]} {
		slices.Reverse(field)
	}
	return g
}

// bert reads the boot error region. Linux shows it where it found it, and clears the block's status
// when it has printed the record (drivers/acpi/apei/bert.c), so that the status says nothing.
func (p Places) bert() ([]Reason, error) {
	region, err := readFile(filepath.Join(p.Firmware, "acpi", "tables", "data", "BERT"),
		maxRegionBytes)
	if err != nil {
		return nil, fmt.Errorf("read the firmware's boot error record: %w", err)
	}
	what, ok := lethal(region)
	if !ok {
		return nil, nil
	}
	// Without the status, so that it is the same record before and after it was printed.
	sum := sha256.Sum256(region[4:])
	return []Reason{{Cause: Hardware, Source: BERT, Detail: "the firmware has recorded " + what,
		ID: "bert-" + hex.EncodeToString(sum[:8])}}, nil
}

// lethal reports whether the region holds an error that a machine does not survive, and of what.
func lethal(region []byte) (what string, ok bool) {
	if len(region) < blockBytes {
		return "", false
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(region[at:]) }
	length, severity := int(u32(blockData)), u32(blockSeverity)
	if severity > fatal || length < entryBytes || length > len(region)-blockBytes {
		return "", false
	}
	what = describe("", severity)
	for rest, n := region[blockBytes:blockBytes+length], 0; len(rest) >= entryBytes &&
		n < maxSections; n++ {
		s := binary.LittleEndian.Uint32(rest[entrySeverity:])
		if name := sections[[16]byte(rest[:16])]; s == severity && name != "" {
			return describe(name, severity), true
		}
		size := uint64(entryBytes) + uint64(binary.LittleEndian.Uint32(rest[entryData:]))
		if binary.LittleEndian.Uint16(rest[entryRevision:]) >= stamped {
			size += stampBytes
		}
		if size > uint64(len(rest)) {
			break
		}
		rest = rest[size:]
	}
	return what, true
}

func describe(section string, severity uint32) string {
	kind := map[uint32]string{recoverable: "an uncorrected", fatal: "a fatal"}[severity]
	if section != "" {
		section += " "
	}
	return kind + " " + section + "error"
}
