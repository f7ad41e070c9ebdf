// Package registry puts what was built into a container registry.
//
// Who we are there is what `docker login`, `podman login` or `crane auth login` has left in
// Docker's configuration (DOCKER_CONFIG). A registry that is no loopback address must speak TLS,
// with a certificate that this machine trusts.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Tag returns how something is asked for in a registry, which is HOST[:PORT][/FOLDER].
func Tag(registry, repository, tag string) (name.Tag, error) {
	full, err := name.NewTag(registry+"/"+repository+":"+tag, name.StrictValidation)
	if err != nil {
		return name.Tag{}, fmt.Errorf(
			"push to %q: write it as HOST[:PORT][/FOLDER], without a scheme: %w", registry, err)
	}
	return full, nil
}

// A pushed thing has a digest, besides what the registry's client asks of it.
type pushed interface {
	remote.Taggable
	partial.Describable
}

// Push writes an image, an index of images or another artifact under the tag, and returns how it is
// asked for by its digest.
func Push(ctx context.Context, tag name.Tag, what pushed) (name.Digest, error) {
	digest, err := what.Digest()
	if err != nil {
		return name.Digest{}, fmt.Errorf("digest what is pushed to %s: %w", tag, err)
	}
	err = remote.Push(tag, what, remote.WithContext(ctx),
		remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if refused := new(transport.Error); errors.As(err, &refused) &&
		(refused.StatusCode == http.StatusUnauthorized ||
			refused.StatusCode == http.StatusForbidden) {
		return name.Digest{}, fmt.Errorf("push to %s: log in first (docker, podman or crane: "+
			"login %s), as somebody who may write there: %w", tag, tag.RegistryStr(), err)
	}
	if err != nil {
		return name.Digest{}, fmt.Errorf("push to %s: %w", tag, err)
	}
	return tag.Context().Digest(digest.String()), nil
}
