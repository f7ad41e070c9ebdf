package storetest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/archive"
)

// SmallDisk mounts a file system of a few MiB, which belongs to a user, in a folder. It skips the
// test where that cannot be done.
func SmallDisk(t *testing.T, dir string, uid uint32) (enlarge func()) {
	t.Helper()
	options := func(size string) string { return fmt.Sprintf("size=%s,uid=%d,mode=0700", size, uid) }
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options("24m")); err != nil {
		t.Skipf("SKIPPED: a tmpfs is missing, which takes root: mount says %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return func() {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, options("96m")); err != nil {
			t.Fatal(err)
		}
	}
}

// Full has a store run out of disk: that is no fault of the record at hand, which is stored once
// there is room, with all before it.
func Full(t *testing.T, s archive.Store, enlarge func()) {
	t.Helper()
	const cluster, each, most = "full", 50, 200
	batch := func(n int) archive.Batch {
		b := archive.Batch{Cluster: cluster, Kind: archive.PodKind,
			Reached: archive.Position{Epoch: 1, Revision: int64(n)}}
		for i := range each {
			noise := make([]byte, 10<<10)
			_, _ = rand.Read(noise)
			b.Records = append(b.Records, archive.Record{Cluster: cluster, Kind: archive.PodKind,
				UID: fmt.Sprintf("%d-%d", n, i), Epoch: 1, Revision: int64(n), Removed: Now,
				Document: fmt.Appendf(nil, `{"noise":"%s"}`, hex.EncodeToString(noise))})
		}
		return b
	}
	last := 1
	var err error
	for ; last <= most; last++ {
		if err = s.Put(t.Context(), batch(last)); err != nil {
			break
		}
	}
	if err == nil || errors.Is(err, archive.ErrRefused) || last < 3 {
		t.Fatalf("batch %d: the disk is full, and the error is %v", last, err)
	}
	if at, err := s.Position(t.Context(), cluster, archive.PodKind); err != nil ||
		at.Revision != int64(last-1) {
		t.Errorf("after %d batches the position is %+v, %v", last-1, at, err)
	}
	enlarge()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := s.Put(t.Context(), batch(last))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("with room on the disk: %v", err)
		}
	}
	counts, err := s.Count(t.Context(), archive.Query{Cluster: cluster}, []archive.Field{archive.ByCluster})
	if err != nil || len(counts) != 1 || counts[0].N != int64(last*each) {
		t.Errorf("stored are %+v, want %d: %v", counts, last*each, err)
	}
}
