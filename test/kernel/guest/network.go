//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loadModules loads a folder's modules in the order of their names.
func loadModules(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(file.Fd()), "", 0)
		_ = file.Close()
		if err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// bringUp gives the device one address.
func bringUp(text string) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return err
	}
	// Otherwise the address may not be used for a second.
	if err := set("/proc/sys/net/ipv6/conf/"+device+"/accept_dad", "0"); err != nil {
		return err
	}
	if prefix.Addr().Is4() {
		if err := addIPv4(prefix); err != nil {
			return err
		}
	}
	if err := linkUp(device); err != nil {
		return err
	}
	if prefix.Addr().Is6() {
		return addIPv6(prefix)
	}
	return nil
}

func linkUp(name string) error {
	return ioctl(unix.AF_INET, name, func(fd int, request *unix.Ifreq) error {
		request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
	})
}

func addIPv4(prefix netip.Prefix) error {
	return ioctl(unix.AF_INET, device, func(fd int, request *unix.Ifreq) error {
		if err := request.SetInet4Addr(prefix.Addr().AsSlice()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, request); err != nil {
			return err
		}
		if err := request.SetInet4Addr(net.CIDRMask(prefix.Bits(), 32)); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, unix.SIOCSIFNETMASK, request)
	})
}

// addIPv6 uses struct in6_ifreq of linux/ipv6.h, which x/sys does not have.
func addIPv6(prefix netip.Prefix) error {
	found, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	request := struct {
		address [16]byte
		bits    uint32
		index   int32
	}{prefix.Addr().As16(), uint32(prefix.Bits()), int32(found.Index)}
	return ioctl(unix.AF_INET6, device, func(fd int, _ *unix.Ifreq) error {
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&request))); e != 0 {
			return fmt.Errorf("add %s: %w", prefix, e)
		}
		return nil
	})
}

func ioctl(family int, name string, do func(fd int, request *unix.Ifreq) error) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := do(fd, request); err != nil {
		return fmt.Errorf("configure %s: %w", name, err)
	}
	return nil
}

// startNetconsole is the recipe of the kernel's Documentation/networking/netconsole.rst. The port is bound first and stays
// ours, so that no other program of the node can send from it.
func startNetconsole() error {
	const localPort = "665"
	if _, err := net.ListenPacket("udp", ":"+localPort); err != nil {
		return err
	}
	target := "/sys/kernel/config/netconsole/epitaph"
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	own, err := netip.ParsePrefix(os.Getenv("guest_address"))
	if err != nil {
		return err
	}
	for _, s := range [][2]string{
		{"extended", os.Getenv("guest_extended")},
		{"dev_name", device},
		{"local_ip", own.Addr().String()},
		{"remote_ip", os.Getenv("guest_listener")},
		{"remote_mac", os.Getenv("guest_listener_mac")},
		{"remote_port", "6666"},
		{"local_port", localPort},
		{"enabled", "1"},
	} {
		if err := set(filepath.Join(target, s[0]), s[1]); err != nil {
			return fmt.Errorf("set netconsole's %s to %s: %w", s[0], s[1], err)
		}
	}
	return nil
}

// answerTLS answers as a kubelet does: whoever shakes hands knows that user space lives.
func answerTLS() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"guest"}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", ":10250", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
	})
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	return nil
}
