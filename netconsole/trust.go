package netconsole

// A trust is how far a panic is believed to be its node's own. A higher level replaces a lower one.
type trust uint8

const (
	// trustNone: the token is not the one of this boot, so somebody else sent it.
	trustNone trust = iota
	// trustDoubtful: it does not fit the boot that the kernel last spoke from; it may have been
	// recorded in another.
	trustDoubtful
	// trustUnsigned: nothing speaks against it, but anybody who has the node's address could have
	// sent it.
	trustUnsigned
	// trustSigned: it carries the token of this boot. Only such a panic is acted upon for silence
	// alone.
	trustSigned
)
