package definitions

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/internal/pause"
)

const (
	// owner is in whose name the definitions are applied: a later installation by Helm may then
	// change them.
	owner = "helm"
	// servedAgain is how often an applied definition is looked at, until the API server serves it.
	servedAgain = 200 * time.Millisecond
)

// Applied are definitions that have to be in the API server.
type Applied struct {
	Client client.Client
	// Files hold one definition each.
	Files fs.FS
	Clock clock.Clock
	// Tell is called with the name of each that is served.
	Tell func(name string)
}

// Apply applies every definition, in the order of the files' names, and waits until the API server
// serves it. It can be repeated: one that is as it should be stays as it is.
func (a Applied) Apply(ctx context.Context) error {
	return fs.WalkDir(a.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		content, err := fs.ReadFile(a.Files, name)
		if err != nil {
			return fmt.Errorf("read the definition %s: %w", name, err)
		}
		definition := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, &definition.Object); err != nil {
			return fmt.Errorf("read the definition %s: %w", name, err)
		}
		return a.one(ctx, definition)
	})
}

func (a Applied) one(ctx context.Context, definition *unstructured.Unstructured) error {
	name := definition.GetName()
	err := a.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(definition.DeepCopy()),
		client.ForceOwnership, client.FieldOwner(owner))
	if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot create") {
		return fmt.Errorf("apply the definition %s: it is missing, and the right is to change "+
			"it: kubectl apply --server-side --field-manager=%s -f charts/epitaph/crds: %w", name,
			owner, err)
	}
	if err != nil {
		return fmt.Errorf("apply the definition %s: %w", name, err)
	}
	for {
		if err := a.Client.Get(ctx, client.ObjectKeyFromObject(definition),
			definition); err != nil {
			return fmt.Errorf("look whether the definition %s is served: %w", name, err)
		}
		if established(definition) {
			a.Tell(name)
			return nil
		}
		if !pause.For(ctx, a.Clock, servedAgain) {
			return fmt.Errorf("wait until the definition %s is served: %w", name, ctx.Err())
		}
	}
}

func established(definition *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(definition.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Established" {
			return c["status"] == "True"
		}
	}
	return false
}
