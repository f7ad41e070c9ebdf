//go:build !linux

package demo

import (
	"context"
	"errors"
	"io"
)

// RunReal is for Linux.
func RunReal(context.Context, io.Writer) error {
	return errors.New("a node whose kernel panics needs Linux")
}
