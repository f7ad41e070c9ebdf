package netconsole

// A trust is how far a panic is believed to be its node's own. More of it takes the place of less.
type trust uint8

const (
	// trustNone: the token is not the one of this boot, so somebody else sent it.
	trustNone trust = iota
	// trustDoubtful: it does not fit the boot that the kernel last spoke from, as something that
	// was recorded in another does not.
	trustDoubtful
	// trustUnsigned: nothing speaks against it. Whoever has the node's address can say as much.
	trustUnsigned
	// trustSigned: it carries the token of this boot. Only such a panic is acted upon for silence
	// alone.
	trustSigned
)
