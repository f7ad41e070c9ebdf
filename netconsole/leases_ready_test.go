package netconsole

import "testing"

// A replica that does not know the Leases hears, but is not ready: it could not judge what is not
// signed.
func TestReadyOnceTheLeasesAreKnown(t *testing.T) {
	t.Parallel()
	c := aCluster(t)
	u, _ := c.aReplica(t)
	l := aListener(u)
	known := false
	u.leases.synced = func() bool { return known }
	if l.Ready() == nil {
		t.Error("it is ready without the Leases")
	}
	known = true
	if err := l.Ready(); err != nil {
		t.Errorf("it is not ready: %v", err)
	}
}
