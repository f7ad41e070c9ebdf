package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// recordBytes is the size of one datagram, perCall how many of them one system call sends (UDP
	// GSO; 64 is the kernel's limit).
	recordBytes = 100
	perCall     = 64
	// knownSources have Nodes and send floods of lines, allNodes are as many as a large cluster
	// has; forgedSources have none.
	knownSources  = 256
	allNodes      = 5000
	forgedSources = 65536
)

// A flood is what the sender sends.
type flood struct {
	rate    int // datagrams a second; 0 is as many as it can
	lasting time.Duration
	sources int
	// fragments makes it one of messages that never become whole.
	fragments bool
}

// source is the nth address: all of 127.0.0.0/8 is this machine. Known ones are in 127.64.0.0/16,
// forged ones in 127.65.0.0/16.
func source(n, of int) netip.Addr {
	network := byte(64)
	if of == forgedSources {
		network = 65
	}
	return netip.AddrFrom4([4]byte{127, network, byte(n >> 8), byte(n)})
}

// send floods the receiver and returns how many datagrams it sent.
func (f flood) send(ctx context.Context, to netip.AddrPort) (sent float64, err error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		return 0, fmt.Errorf("open the sender's socket: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteBuffer(4 << 20); err != nil {
		return 0, fmt.Errorf("enlarge the sender's buffer: %w", err)
	}
	records := newRecords(f.fragments)
	began := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		elapsed := time.Since(began)
		if elapsed >= f.lasting {
			break
		}
		if f.rate > 0 && sent > elapsed.Seconds()*float64(f.rate) {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		if _, _, err := conn.WriteMsgUDPAddrPort(records.next(),
			control(source(n%f.sources, f.sources)), to); err != nil {
			return sent, fmt.Errorf("send to %s: %w", to, err)
		}
		sent += perCall
	}
	return sent, nil
}

// control says from which address to send, and that the buffer is to be cut into datagrams.
func control(from netip.Addr) []byte {
	address := from.As4()
	info := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: address})
	segment := make([]byte, unix.CmsgSpace(2))
	binary.NativeEndian.PutUint64(segment, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(segment[8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(segment[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(segment[unix.CmsgLen(0):], recordBytes)
	return append(info, segment...)
}

// records are datagrams of the extended format, each with a number of its own.
type records struct {
	buffer [perCall * recordBytes]byte
	seq    uint64
}

const (
	seqAt     = len("6,")
	seqDigits = 10
)

// lyingHeads begin messages as long as are put together at all, of which one fragment comes; and
// one that lies behind the end.
var lyingHeads = []string{
	"6,1000000000,123456789,-,ncfrag=0/4096;",
	"0,1000000000,123456789,-,ncfrag=0/4096;Kernel panic, not quite: ",
	"6,1000000000,123456789,-,ncfrag=3900/4096;",
	"6,1000000000,123456789,-,ncfrag=4294967295/4096;",
}

func newRecords(fragments bool) *records {
	r := &records{seq: 1_000_000_000}
	for n := range perCall {
		record := r.buffer[n*recordBytes : (n+1)*recordBytes]
		text :=
			"6,1000000000,123456789,-;eth0: a line of the kernel about nothing in particular, as there are many"
		if fragments {
			text = lyingHeads[n%len(lyingHeads)]
		}
		head := copy(record, text)
		for i := head; i < recordBytes; i++ {
			record[i] = '.'
		}
		record[recordBytes-1] = '\n'
	}
	return r
}

// next numbers the datagrams.
func (r *records) next() []byte {
	for n := range perCall {
		r.seq++
		digits := r.buffer[n*recordBytes+seqAt : n*recordBytes+seqAt+seqDigits]
		for i, left := seqDigits-1, r.seq; i >= 0; i, left = i-1, left/10 {
			digits[i] = byte('0' + left%10)
		}
	}
	return r.buffer[:]
}
