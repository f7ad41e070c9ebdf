package netconsole

import "testing"

// A replica that does not know the Leases listens, but is not ready: it could not judge unsigned
// panics.
func TestReadyOnceTheLeasesAreKnown(t *testing.T) {
	t.Parallel()
	c := aCluster(t)
	p, _ := c.aReplica(t)
	l := aListener(p)
	known := false
	p.leases.synced = func() bool { return known }
	if l.Ready() == nil {
		t.Error("it is ready without the Leases")
	}
	known = true
	if err := l.Ready(); err != nil {
		t.Errorf("it is not ready: %v", err)
	}
}
