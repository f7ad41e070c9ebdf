//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// localPort is where netconsole sends from. It is bound and stays ours, so that no other program
// can send from it.
const localPort = "665"

// startNetconsole is the recipe of the kernel's Documentation/networking/netconsole.rst.
func startNetconsole() error {
	own, err := netip.ParsePrefix(os.Getenv("guest_address"))
	if err != nil {
		return fmt.Errorf("read guest_address: %w", err)
	}
	if _, err := net.ListenPacket("udp", ":"+localPort); err != nil {
		return err
	}
	if err := loadModules("netconsole"); err != nil {
		return err
	}
	if err := mount("configfs", "/sys/kernel/config"); err != nil {
		return err
	}
	target := "/sys/kernel/config/netconsole/epitaph"
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	for _, s := range [][2]string{
		{"extended", os.Getenv("guest_extended")},
		{"dev_name", device},
		{"local_ip", own.Addr().String()},
		{"remote_ip", os.Getenv("guest_listener")},
		{"remote_mac", os.Getenv("guest_listener_mac")},
		{"remote_port", os.Getenv("guest_listener_port")},
		{"local_port", localPort},
		{"enabled", "1"},
	} {
		if err := set(filepath.Join(target, s[0]), s[1]); err != nil {
			return fmt.Errorf("set netconsole's %s to %q: %w", s[0], s[1], err)
		}
	}
	return nil
}

// answerTLS answers where a kubelet does: whoever shakes hands knows that user space lives.
func answerTLS() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"guest"}}
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
	go greet(listener)
	return nil
}

// hushed is set while nobody is answered, as while a kubelet restarts.
var hushed atomic.Bool

// hush stops answering, or begins again.
func hush(how string) error {
	if how != "on" && how != "off" {
		return fmt.Errorf("hush %q: neither on nor off", how)
	}
	hushed.Store(how == "on")
	return nil
}

// say sends a datagram from a port of ours, as any process can: its text is a quoted string of Go.
func say(address, quoted string) error {
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return fmt.Errorf("read what is to be said: %w", err)
	}
	conn, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(text))
	return errors.Join(err, conn.Close())
}

// greet shakes hands, says on the console how often it has, and no more.
func greet(listener net.Listener) {
	var greeted atomic.Int64
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Println("guest:", err)
			return
		}
		go func() {
			defer conn.Close()
			if hushed.Load() {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			if conn.(*tls.Conn).Handshake() == nil {
				fmt.Println("guest: greeted", greeted.Add(1))
			}
		}()
	}
}
