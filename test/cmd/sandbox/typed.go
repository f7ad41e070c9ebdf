package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/epitaph-k8s/epitaph/test/demo"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// help says what can be typed where the sandbox runs.
const help = `Type here, or use kubectl elsewhere:
panic NODE                   its kernel panics: nothing there answers, and its last lines arrive
gone NODE                    the cloud takes its instance away
silent NODE                  its kubelet dies, and says nothing
`

// A misfortune befalls a node, and returns what is to be said of it.
type misfortune func(ctx context.Context, s *sandbox.Sandbox, node string) (string, error)

var misfortunes = map[string]misfortune{
	"panic": func(ctx context.Context, s *sandbox.Sandbox, node string) (string, error) {
		if s.Epitaph == nil {
			return "", errors.New("nobody listens: the sandbox was started without Epitaph")
		}
		sent, err := demo.Panic(ctx, s, node)
		return fmt.Sprintf("%d datagrams of a kernel that panics, sent from %s", sent, node), err
	},
	"gone": func(_ context.Context, s *sandbox.Sandbox, node string) (string, error) {
		return "the instance of " + node + " is gone; the cloud's controller looks soon",
			s.TakeInstanceAway(node)
	},
	"silent": func(ctx context.Context, s *sandbox.Sandbox, node string) (string, error) {
		return node + " is silent", s.StopKubelet(ctx, node)
	},
}

// obey does what is typed, line by line, until nothing more comes. A line that is wrong is answered.
func obey(ctx context.Context, in io.Reader, out io.Writer, s *sandbox.Sandbox) {
	for lines := bufio.NewScanner(in); lines.Scan() && ctx.Err() == nil; {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		do, known := misfortunes[words[0]]
		if !known || len(words) != 2 {
			fmt.Fprint(out, help)
			continue
		}
		said, err := do(ctx, s, words[1])
		if err != nil {
			said = err.Error()
		}
		fmt.Fprintln(out, said)
	}
}
