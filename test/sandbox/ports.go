package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// Ports are drawn below the range from which the kernel takes those of outgoing connections (32768
// on Linux), so that between choosing one and listening on it no connection of anybody takes it.
const (
	firstPort, lastPort = 20000, 32767
	portAttempts        = 100
)

var loopback = netip.MustParseAddr("127.0.0.1")

// FreeAddress is an address of 127.0.0.1 at which nobody listens, for a program that a test starts.
func FreeAddress() (string, error) {
	ports, err := freePorts(1)
	if err != nil {
		return "", err
	}
	return hostPort(loopback, ports[0]), nil
}

// freePorts returns n ports of 127.0.0.1 on which nobody listens, all different.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range portAttempts * n {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		listener, err := net.Listen("tcp4", hostPort(loopback, port))
		if err != nil {
			continue
		}
		// Held until all are found: the same number cannot be drawn twice.
		defer listener.Close()
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("find %d free ports between %d and %d", n, firstPort, lastPort)
}

// udpAddress returns where datagrams will be received: the wished address, or a free port where
// none is wished.
func udpAddress(wished string) (string, error) {
	if wished == "" {
		wished = hostPort(loopback, 0)
	}
	conn, err := net.ListenPacket("udp4", wished)
	if errors.Is(err, syscall.EADDRINUSE) {
		return "", fmt.Errorf(
			"netconsole's address %s is taken by another program: stop that, or choose another address", wished)
	}
	if err != nil {
		return "", fmt.Errorf("try netconsole's address %s: %w", wished, err)
	}
	defer conn.Close()
	return conn.LocalAddr().String(), nil
}

func hostPort(host netip.Addr, port int) string {
	return net.JoinHostPort(host.String(), strconv.Itoa(port))
}
