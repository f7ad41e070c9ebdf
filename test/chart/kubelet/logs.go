package kubelet

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
)

// logPort is where a kubelet answers the API server.
const logPort = 10250

// serveLogs answers the API server when somebody wants to see a container's log, until ctx ends.
// The sandbox's API server asks no kubelet for its certificate.
func (k *Kubelet) serveLogs(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx,
		"tcp", netip.AddrPortFrom(k.address, logPort).String())
	if err != nil {
		return fmt.Errorf("listen for questions to %s: %w", k.o.Node, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.showLog)
	server := httptest.NewUnstartedServer(mux)
	_ = server.Listener.Close()
	server.Listener = listener
	server.StartTLS()
	k.background.Go(func() {
		<-ctx.Done()
		server.Close()
	})
	return nil
}

func (k *Kubelet) showLog(w http.ResponseWriter, r *http.Request) {
	path := k.logOf(r.PathValue("namespace"), r.PathValue("pod"))
	log, err := os.ReadFile(path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	_, _ = w.Write(log)
}

// logOf is the file with a pod's log, "" if it has none.
func (k *Kubelet) logOf(namespace, name string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.pods {
		if pod := w.pod.Load(); pod.Namespace == namespace && pod.Name == name && w.process != nil {
			return w.process.LogPath
		}
	}
	return ""
}
