package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/archive"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// A machine that vanishes closes no connection: nothing comes from it any more, also in the middle of
// a transaction. What was being stored is given up in time, and stored once, when there is a server
// again.
func TestServerVanishes(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	network := newNetwork(t, s)
	store := opened(t, "host="+network.dir+" user=epitaph dbname=postgres connect_timeout=1")
	batch := archive.Batch{Cluster: "c", Kind: archive.PodKind, Records: []archive.Record{{
		Cluster: "c", Kind: archive.PodKind, UID: "a", Epoch: 1, Revision: 1, Removed: storetest.Now,
		Document: []byte("{}")}}, Reached: archive.Position{Epoch: 1, Revision: 1}}
	if err := store.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	store.AnswerWithin(3 * time.Second)

	for after, uid := range map[int64]string{0: "b", 300: "c"} { // at once, and amid the statements
		batch.Records[0].UID = uid
		batch.Reached.Revision++
		network.cut(after)
		began := time.Now()
		err := store.Put(t.Context(), batch)
		if err == nil || errors.Is(err, archive.ErrRefused) || time.Since(began) > time.Minute {
			t.Errorf("Put ended with %v after %s, want an error that is tried again", err,
				time.Since(began))
		}
		if _, err := store.Position(t.Context(), "c", archive.PodKind); err == nil {
			t.Error("the position is known, although nobody answers")
		}
		if _, err := store.Changes(t.Context(), "", "c", archive.Mark{}, 9); err == nil {
			t.Error("changes are known, although nobody answers")
		}
		network.mend()
		for err = store.Put(t.Context(), batch); err != nil; err = store.Put(t.Context(), batch) {
			if time.Since(began) > time.Minute {
				t.Fatalf("the server is there again: %v", err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	if n := query[int](t, s, "SELECT count(*) FROM records"); n != 3 {
		t.Errorf("%d records are stored, want 3", n)
	}
}

// A network stands between a store and its server.
type network struct {
	dir string

	// left is how many bytes still come through to the server; below 0, all do.
	left atomic.Int64
	mu   sync.Mutex
	// gone are the connections of before the cut: nothing comes through them ever again.
	connections []*atomic.Bool
}

func newNetwork(t *testing.T, s *server.Server) *network {
	t.Helper()
	const socket = ".s.PGSQL.5432"
	n := &network{dir: t.TempDir()}
	n.left.Store(-1)
	listener, err := net.Listen("unix", filepath.Join(n.dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	to := strings.TrimPrefix(strings.Fields(s.DSN())[0], "host=")
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	t.Cleanup(func() {
		stop()
		_ = listener.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("unix", filepath.Join(to, socket))
			if err != nil {
				_ = client.Close()
				continue
			}
			gone := &atomic.Bool{}
			n.mu.Lock()
			n.connections = append(n.connections, gone)
			n.mu.Unlock()
			context.AfterFunc(ctx, func() { _, _ = client.Close(), up.Close() })
			all.Go(func() { n.carry(up, client, gone) })
			all.Go(func() { n.carry(client, up, gone) })
		}
	})
	return n
}

// carry passes on what comes, and swallows it once the network is cut.
func (n *network) carry(to io.Writer, from io.Reader, gone *atomic.Bool) {
	buffer := make([]byte, 4096)
	for {
		read, err := from.Read(buffer)
		if err != nil {
			return
		}
		if left := n.left.Load(); left >= 0 && n.left.Add(-int64(read)) <= 0 {
			n.left.Store(0)
			gone.Store(true)
		}
		if gone.Load() {
			continue
		}
		if _, err := to.Write(buffer[:read]); err != nil {
			return
		}
	}
}

// cut lets so many bytes through.
func (n *network) cut(after int64) { n.left.Store(after) }

// mend lets new connections through; those of before stay silent.
func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, gone := range n.connections {
		gone.Store(true)
	}
	n.connections = nil
	n.left.Store(-1)
}
