package listeners

import "hash/fnv"

// weight orders the listeners differently for each node: the lightest is chosen (rendezvous
// hashing).
func weight(self string, l Listener) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(self + " " + l.Address.String())) // a hash accepts all input
	return mix(h.Sum64())
}

// mix spreads differences in the last bytes over the whole number, which FNV does not (the
// finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
