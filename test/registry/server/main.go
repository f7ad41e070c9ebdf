// Command registry is a container registry, go-containerregistry's, which speaks TLS and knows one
// user: what `make push` and Helm put there, a node's containerd pulls. It keeps everything in
// memory.
package main

import (
	"crypto/subtle"
	"flag"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// slowest bounds a request's header; an image may take as long as it takes.
const slowest = 10 * time.Second

func main() {
	address := flag.String("address", "", "`HOST:PORT` to listen at")
	certificate := flag.String("certificate", "", "the `file` of its certificate, in PEM")
	key := flag.String("key", "", "the `file` of the certificate's key, in PEM")
	user := flag.String("user", "", "who may log in")
	password := flag.String("password", "", "and with what")
	flag.Parse()
	server := http.Server{Addr: *address, ReadHeaderTimeout: slowest, Handler: guarded(*user, *password,
		registry.New(registry.Logger(log.New(io.Discard, "", 0))))}
	log.Fatal(server.ListenAndServeTLS(*certificate, *key))
}

// guarded lets nobody in but the user.
func guarded(user, password string, what http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(u+":"+p), []byte(user+":"+password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		what.ServeHTTP(w, r)
	})
}
