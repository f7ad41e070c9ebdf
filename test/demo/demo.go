package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/test/witness"
)

// sceneLimit bounds one scene: the slowest waits for a silent node to be noticed, and for the cloud
// to be asked.
const sceneLimit = 90 * time.Second

// A scene is one way to die.
type scene struct {
	title string
	play  func(context.Context, *stage) error
}

// A stage is what the scenes play on.
type stage struct {
	sandbox *sandbox.Sandbox
	client  *kubernetes.Clientset
	witness *witness.Witness
	out     io.Writer
	kernel  kernel
	// limit bounds each scene.
	limit  time.Duration
	rows   []row
	victim string // the pod of the Job that dies of the panic
}

// Scenes are told in this order.
var scenes = []scene{
	{"a person deletes a pod and does not say why", personMustSayWhy},
	{"the scheduler needs the room for a more important pod", schedulerPreempts},
	{"a node's disk fails, and the taint manager evicts its pods", diskFails},
	{"somebody runs sudo halt on a node, and the cloud removes the instance", nodeIsHalted},
	{"the cloud removes an instance, and nobody knows why", instanceIsGone},
	{"a kernel panics, and its last lines arrive by UDP", kernelPanics},
	{"the Job whose pod died of the panic runs again, no failure counted", jobRunsAgain},
}

// Run starts a sandbox, plays every scene and prints what everything died of.
func Run(ctx context.Context, out io.Writer) error {
	began := time.Now()
	fmt.Fprintln(out, "Starting a Kubernetes control plane, six nodes and Epitaph:")
	s, err := sandbox.Start(ctx, sandbox.Options{Out: out})
	if err != nil {
		return err
	}
	defer s.Stop()
	return play(ctx, out, &stage{sandbox: s, kernel: recorded{}, limit: sceneLimit}, began)
}

// play plays every scene in a cluster that is ready.
func play(ctx context.Context, out io.Writer, st *stage, began time.Time) error {
	ready, s := time.Now(), st.sandbox
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := witness.New(ctx, client)
	if err != nil {
		return err
	}
	st.client, st.witness, st.out = client, w, out
	if err := st.set(ctx); err != nil {
		return fmt.Errorf("set the stage: %w", err)
	}
	if err := errors.Join(st.playAll(ctx), st.tell(ctx)); err != nil {
		return errors.Join(err, st.explain())
	}
	fmt.Fprintf(out,
		"\n%d scenes came out as they should. Control plane ready after %.1f s, the scenes took %.1f s, %.1f s in all.\n",
		len(scenes), ready.Sub(began).Seconds(), time.Since(ready).Seconds(),
		time.Since(began).Seconds())
	return nil
}

func (st *stage) playAll(ctx context.Context) error {
	for n, sc := range scenes {
		began := time.Now()
		fmt.Fprintf(st.out, "\n%c. %s\n", 'a'+n, sc.title)
		ctx, cancel := context.WithTimeout(ctx, st.limit)
		err := sc.play(ctx, st)
		cancel()
		if err != nil {
			return fmt.Errorf("scene %c (%s): %w", 'a'+n, sc.title, err)
		}
		st.say("as it should be (%.1f s)", time.Since(began).Seconds())
	}
	return nil
}

// tell ends the story with what outlives those who died.
func (st *stage) tell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, st.limit)
	defer cancel()
	err := st.readRecords(ctx)
	printTable(st.out, st.rows)
	if err != nil || st.victim == "" {
		return err
	}
	return st.askWhy(ctx)
}

func (st *stage) say(format string, args ...any) {
	fmt.Fprintf(st.out, "   "+format+"\n", args...)
}

// explain adds the end of Epitaph's log to a failure: the sandbox and its logs are gone when the
// reader sees it.
func (st *stage) explain() error {
	const lastBytes = 4000
	if st.sandbox.Epitaph == nil {
		return nil // it runs in a container
	}
	log, err := st.sandbox.Epitaph.Logs()
	if err != nil {
		return err
	}
	return fmt.Errorf("the end of Epitaph's log:\n%s", log[max(0, len(log)-lastBytes):])
}
