package main

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A removal deletes many objects, each whatever becomes of the others.
type removal struct {
	*plugin
	deletion deletion
	flags    deleteFlags
	failed   []error
}

// errTooLong ends a wait that has its limit.
var errTooLong = errors.New("--timeout is over")

func (r *removal) run(ctx context.Context, all []chosen) error {
	total := len(all) + len(r.failed)
	switch {
	case total == 0:
		fmt.Fprintln(r.errOut, "There is nothing to delete.")
		return nil
	case r.flags.which.all:
		fmt.Fprintf(r.errOut, "%d %s to be deleted.\n", len(all), areObjects(len(all)))
	}
	gone := map[int]*metav1.PartialObjectMetadata{}
	for n, o := range all {
		is, err := r.delete(ctx, o)
		if err != nil {
			r.failed = append(r.failed, ignoring([]error{err}, r.flags.ignoreNotFound)...)
		} else if is != nil {
			gone[n] = is
		}
	}
	r.await(ctx, all, gone)
	return r.result(r.failed, total)
}

func areObjects(n int) string {
	if n == 1 {
		return "object is"
	}
	return "objects are"
}

// delete deletes one object and says so.
func (r *removal) delete(ctx context.Context, o chosen) (*metav1.PartialObjectMetadata, error) {
	var gone *metav1.PartialObjectMetadata
	var err error
	switch r.flags.dryRun {
	case dryRunClient:
		_, err = r.deletion.find(ctx, o)
	case dryRunServer:
		_, err = r.deletion.run(ctx, o)
	default:
		gone, err = r.deletion.run(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	if r.flags.output == "name" {
		_, err = fmt.Fprintf(r.out, "%s/%s\n", o.kind(), o.key.Name)
	} else {
		_, err = fmt.Fprintf(r.out, "%s %q deleted%s: %s\n", o.kind(), o.key.Name,
			noteOf[r.flags.dryRun],
			r.deletion.reason.Text)
	}
	return gone, err
}

// await waits until what was deleted is gone.
func (r *removal) await(ctx context.Context, all []chosen,
	gone map[int]*metav1.PartialObjectMetadata) {
	if !r.flags.wait {
		return
	}
	if r.flags.timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, r.flags.timeout, errTooLong)
		defer cancel()
		ctx = limited
	}
	for n, o := range all {
		if is := gone[n]; is != nil {
			if err := r.deletion.wait(ctx, o, is.UID); err != nil {
				r.failed = append(r.failed, err)
			}
		}
	}
}

// result names each failure, and says how many there are. That nothing of these names is there has
// an exit code of its own.
func (p *plugin) result(failed []error, total int) error {
	if len(failed) == 0 {
		return nil
	}
	if total == 1 {
		return failed[0]
	}
	missing := 0
	for _, err := range failed {
		fmt.Fprintln(p.errOut, "error:", explain(err))
		if errors.Is(err, errNotFound) {
			missing++
		}
	}
	err := fmt.Errorf("%d of %d failed", len(failed), total)
	if missing == total {
		return fmt.Errorf("%w: %w", errNotFound, err)
	}
	return err
}
