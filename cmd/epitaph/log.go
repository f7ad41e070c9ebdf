package main

import (
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// logTo returns the program's logger, and has the libraries write to it too: controller-runtime,
// client-go and, through the standard library's log, net/http.
//
// controller-runtime's own logger is for its libraries alone: it throws everything away where a
// program needs more than 30 s to set it, as one does on a node that struggles.
func logTo(w io.Writer, verbosity int) logr.Logger {
	handler := newHandler(w, verbosity)
	log := logr.FromSlogHandler(handler)
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	slog.SetDefault(slog.New(handler).With("logger", "net/http"))
	return log
}

// newHandler writes JSON, one line for each entry.
func newHandler(w io.Writer, verbosity int) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.Level(-verbosity),
		ReplaceAttr: oneErrorKey})
}

// oneErrorKey gives all errors the key "error". logr's is "err" (go-logr/logr slogsink.go).
func oneErrorKey(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == "err" {
		a.Key = "error"
	}
	return a
}
