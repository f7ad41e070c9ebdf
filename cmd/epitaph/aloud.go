package main

import (
	"net/http"
	"sync"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/epitaph-k8s/epitaph/reason"
)

// aloud logs each change of what a probe finds. The kubelet asks again and again, and the answer
// that it puts into an Event withholds the reason (controller-runtime/pkg/healthz).
func aloud(name string, check healthz.Checker, log logr.Logger) healthz.Checker {
	var mu sync.Mutex
	var told string
	return func(r *http.Request) error {
		err := check(r)
		fault := ""
		if err != nil {
			fault = err.Error()
		}
		mu.Lock()
		defer mu.Unlock()
		switch fault {
		case told:
		case "":
			log.Info("ready again", "probe", name)
		default:
			log.Info("not ready", "probe", name, "error", reason.Clean(fault))
		}
		told = fault
		return err
	}
}
