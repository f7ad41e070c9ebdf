package netconsole

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// A corroboration is what was heard of a panic after its case was opened, and is beyond the doubt that the case began with: the
// rest of the same message, which brings the token, or the node's own panic after somebody else's. Its zero value is none.
type corroboration struct {
	mu    sync.Mutex
	heard bool
	line  string
}

func (c *corroboration) add(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.heard {
		c.heard, c.line = true, line
	}
}

func (c *corroboration) get() (line string, heard bool) {
	if c == nil {
		return "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.line, c.heard
}

// corroborated is the death as it is known by now: a doubtful panic gives way to one that is not, its words included.
func (d death) corroborated() death {
	if line, heard := d.corroboration.get(); d.doubtful && heard {
		d.line, d.doubtful = line, false
	}
	return d
}

// open opens a case about the node and handles it in the background; false if there is one already.
func (u *undertaker) open(d death, handle func()) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cases[d.uid] != nil {
		return false
	}
	u.cases[d.uid] = d.corroboration
	u.work.Go(func() {
		defer u.close(d)
		handle()
	})
	return true
}

// close closes the case. If the node lives, its ring is to take its words again.
func (u *undertaker) close(d death) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.cases, d.uid)
	d.words.release()
}

// corroborate adds to the case about the node, and tells whether there is one.
func (u *undertaker) corroborate(node types.UID, line string, doubtful bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.cases[node]
	if c != nil && !doubtful {
		c.add(line)
	}
	return c != nil
}

// dismiss lets go of what a sender said with a panic that no case is opened about. A case that is open needs it still.
func (u *undertaker) dismiss(node types.UID, w words) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cases[node] == nil {
		w.release()
	}
}
