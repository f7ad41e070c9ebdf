package process

import (
	"context"
	"errors"
	"strings"
)

var errHeldBack = errors.New("too many command lines are held back")

// args starts to read a process's command line; the function that it returns waits for it. The
// kernel reads it from the process's memory, and a process can make that take for ever (a mapping
// of a file system of its own), so the wait ends with the context.
func (p Proc) args(ctx context.Context, pid int) func() ([]string, error) {
	select {
	case p.waiting <- struct{}{}:
	default:
		return func() ([]string, error) { return nil, errHeldBack }
	}
	type answer struct {
		text string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		defer func() { <-p.waiting }()
		text, err := p.file(pid, "cmdline")
		read <- answer{text, err}
	}()
	return func() ([]string, error) {
		select {
		case a := <-read:
			return strings.Split(strings.TrimRight(a.text, "\x00"), "\x00"), a.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
