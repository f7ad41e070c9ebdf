package route

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/internal/pause"
)

// groups are the netlink groups of everything that a way depends on.
var groups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_RULE,
}

// again is the wait before a new watch.
const again = time.Second

// Follow watches until the context ends, and starts a new watch when the kernel ends one. Whatever
// happened meanwhile counts as a change.
func Follow(ctx context.Context, c clock.Clock, log logr.Logger, changed chan<- struct{}) {
	for ctx.Err() == nil {
		w, err := NewWatch()
		if err == nil {
			err = w.Run(ctx, changed)
		}
		if err == nil {
			return
		}
		log.Error(err, "watch restarted")
		pause.For(ctx, c, again)
		signal(changed)
	}
}

func signal(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

// A Watch is told of every change that a way may depend on.
type Watch struct{ socket *nl.NetlinkSocket }

// NewWatch starts to watch: it misses no change from here on.
func NewWatch() (*Watch, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return nil, fmt.Errorf("watch the network of this node: %w", err)
	}
	return &Watch{socket}, nil
}

// Run sends on changed whenever something has changed. Changes that come while one waits to be
// received are merged into it. It returns when the context ends, and closes the watch.
func (w *Watch) Run(ctx context.Context, changed chan<- struct{}) error {
	defer context.AfterFunc(ctx, w.socket.Close)()
	defer w.socket.Close()
	for {
		_, _, err := w.socket.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		// The socket's buffer overflowed: what changed shows when the ways are looked up anew.
		case err != nil && !errors.Is(err, unix.ENOBUFS):
			return fmt.Errorf("watch the network of this node: %w", err)
		}
		signal(changed)
	}
}
