//go:build linux

package kernel

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/kernel/firstroot"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/kernel/machine"
)

const (
	// resetFile is the agent's configuration: it reads all that the machine says.
	resetFile = `{"apiVersion": "config.epitaph-k8s.io/v1alpha1", "kind": "Configuration", "agent": {"period": "1s", "listeners": ["10.84.1.1:6666"], "lastBoot": {"kernelLog": true}}}`
	// errorRegion is memory that is not Linux's, of which the table that QEMU has for the machine
	// says that it is the firmware's, after the memory of ramoops.
	errorRegion      = 0x10100000
	errorRegionBytes = 0x1000
)

// TestReset has a machine end in ways that only the machine knows of, and the agent of the next
// boot say of which: a watchdog that nobody feeds, and an error of the hardware that the firmware
// records.
func TestReset(t *testing.T) { withKernel(t, fetched.prepareReset, resetInside) }

func (f fetched) prepareReset(ctx context.Context, out io.Writer, dir string) error {
	cache, err := binaries.CacheDir()
	if err != nil {
		return err
	}
	if f.kernel, err = f.kernel.FetchSigning(ctx, out, cache); err != nil {
		return fmt.Errorf("%w: %w", errNotHere, err)
	}
	watchdog, err := firstroot.Modules(ctx, f.kernel, "watchdog", "i6300esb")
	if err != nil {
		return err
	}
	if len(watchdog) < 2 {
		return fmt.Errorf("the module of a watchdog that QEMU has, in Linux %s, is %w",
			f.kernel.Release, errNotHere)
	}
	ramoops, err := firstroot.Modules(ctx, f.kernel, "ramoops", "ramoops")
	if err != nil {
		return err
	}
	disk, err := firstroot.Modules(ctx, f.kernel, "disk", "virtio_blk", "ext4")
	if err != nil {
		return err
	}
	epitaph, err := buildStatic(ctx, filepath.Join(dir, "static"), "../../cmd/epitaph")
	if err != nil {
		return err
	}
	p := prepared{QEMU: f.qemu, Kernel: f.kernel.Image, Release: f.kernel.Release,
		Initramfs: filepath.Join(dir, "initramfs")}
	if err := writeInitramfs(ctx, f.kernel, p.Initramfs, slices.Concat(watchdog, ramoops, disk,
		[]initramfs.File{firstroot.Program("epitaph", epitaph),
			firstroot.Text("reset.yaml", []byte(resetFile))})...); err != nil {
		return err
	}
	content, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, preparedFile), content, 0o644)
}

func resetInside(t *testing.T, dir string) {
	r := powerOnWithFirmware(t, begin(t, dir), dir)
	r.booted(t)
	r.order(t, "starve")
	r.booted(t)
	r.says(t, "unclean", "watchdog", "a watchdog had reset the machine")
	if err := r.Do(fmt.Sprintf("record %x %x", errorRegion, aRecord())); err != nil {
		t.Fatal(err)
	}
	r.order(t, "reset")
	r.booted(t)
	r.says(t, "unclean", "hardware error", "the firmware has recorded a fatal memory error")
	if !strings.Contains(r.Console(), "BERT: Error records from previous boot:") {
		t.Error("the kernel does not know of the record: nothing is proven")
	}
	// The firmware leaves the record where it is.
	r.order(t, "reset")
	r.booted(t)
	r.says(t, "unclean", "", "")
}

// aRecord is a Generic Error Status Block of ACPI with one fatal error of the memory.
func aRecord() []byte {
	const block, entry, data = 20, 72, 80
	b := make([]byte, block+entry+data)
	le := binary.LittleEndian
	le.PutUint32(b, 1)               // one uncorrectable error
	le.PutUint32(b[12:], entry+data) // the length of its entries
	le.PutUint32(b[16:], 1)          // fatal
	memory := []byte{0x14, 0x11, 0xbc, 0xa5, 0x64, 0x6f, 0xde, 0x4e, 0xb8, 0x63, 0x3e, 0x83, 0xed,
		0x7c, 0x83, 0xb1}
	copy(b[block:], memory)
	le.PutUint32(b[block+16:], 1)     // fatal
	le.PutUint16(b[block+20:], 0x300) // with a time stamp
	le.PutUint32(b[block+24:], data)
	return b
}

// A resetting machine boots again and again.
type resetting struct {
	*machine.Machine
	boots, told int
}

// powerOnWithFirmware starts a machine with a watchdog, and a firmware that has a place for errors.
func powerOnWithFirmware(t *testing.T, p prepared, dir string) *resetting {
	t.Helper()
	table := filepath.Join(dir, "bert")
	body := binary.LittleEndian.AppendUint32(nil, errorRegionBytes)
	body = binary.LittleEndian.AppendUint64(body, errorRegion)
	if err := os.WriteFile(table, body, 0o600); err != nil {
		t.Fatal(err)
	}
	tap, err := link.Tap("tap84")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tap.Close() })
	if err := link.Add("tap84", netip.MustParsePrefix("10.84.1.1/24")); err != nil {
		t.Fatal(err)
	}
	m, err := machine.Start(machine.Options{
		QEMU: p.QEMU, Kernel: p.Kernel, Initramfs: p.Initramfs, Tap: tap,
		Address: netip.MustParseAddr("10.84.1.2"), Memory: "512M",
		Disks: []string{makeDisk(t, dir)}, Reboots: true,
		Arguments: []string{"-device", "i6300esb", "-acpitable",
			"sig=BERT,rev=1,data=" + table},
		Parameters: map[string]string{"guest_address": "10.84.1.2/24",
			"guest_panic": kubeletTimeout, "memmap": "2M$256M", "guest_ramoops": kept},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Stop()
		if t.Failed() {
			t.Logf("the console:\n%s", m.Console())
		}
	})
	return &resetting{Machine: m}
}

// booted waits for the next boot, and until its agent has noted it.
func (r *resetting) booted(t *testing.T) {
	t.Helper()
	r.boots++
	ctx, cancel := context.WithTimeout(t.Context(), agentPatience)
	defer cancel()
	if _, _, err := r.SaysAgain(ctx, "guest: ready", r.boots); err != nil {
		t.Fatal(err)
	}
	if err := r.Do("follow --config /reset.yaml"); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(r.noted(t), r.bootID(t)) {
		if ctx.Err() != nil {
			t.Fatal("the agent has not noted the boot")
		}
		time.Sleep(time.Second)
	}
}

// bootID is that of the boot that has begun last.
func (r *resetting) bootID(t *testing.T) string {
	t.Helper()
	line, _, err := r.SaysAgain(t.Context(), "guest: boot ", r.boots)
	if err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(line, "guest: boot ")
	return `"boot":{"id":"` + id
}

// noted is what the agent remembers.
func (r *resetting) noted(t *testing.T) string {
	t.Helper()
	// The agent may be replacing the file.
	if err := r.Do("show /var/lib/epitaph"); err != nil && !strings.Contains(err.Error(),
		"no such file") {
		t.Fatal(err)
	}
	return lastOf(r.Console(), "show: lastboot.json ")
}

// lastOf is the last line with the words.
func lastOf(text, words string) (found string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, words) {
			found = line
		}
	}
	return found
}

func (r *resetting) order(t *testing.T, command string) {
	t.Helper()
	if err := r.Order(command); err != nil {
		t.Fatal(err)
	}
}

// says compares what the agent says of the boot before.
func (r *resetting) says(t *testing.T, how, cause, detail string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), agentPatience)
	defer cancel()
	r.told++
	line, _, err := r.SaysAgain(ctx, "the boot before this one has ended", r.told)
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ How, Cause, Detail string }
	_, object, _ := strings.Cut(line, "{")
	if err := json.Unmarshal([]byte("{"+object), &said); err != nil {
		t.Fatalf("read %q: %v", line, err)
	}
	if said.How != how || said.Cause != cause || said.Detail != detail {
		t.Errorf("its agent says %+v, want %s, %s: %s", said, how, cause, detail)
	}
}
