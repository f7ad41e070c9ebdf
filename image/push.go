package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// push puts the images of all platforms into a registry, under one tag of "REGISTRY/epitaph", and
// returns how the image is asked for by its digest. Who we are there is what `docker login`, `podman
// login` or `helm registry login` has left in Docker's configuration (DOCKER_CONFIG). A registry
// that is no loopback address must speak TLS, with a certificate that this machine trusts.
func (m made) push(ctx context.Context, registry string) (name.Digest, error) {
	tag, err := name.NewTag(registry+"/"+repository+":"+m.tag, name.StrictValidation)
	if err != nil {
		return name.Digest{}, fmt.Errorf(
			"push to %q: write it as HOST[:PORT][/FOLDER], without a scheme: %w", registry, err)
	}
	digest, err := m.index.Digest()
	if err != nil {
		return name.Digest{}, fmt.Errorf("digest the image: %w", err)
	}
	err = remote.WriteIndex(tag, m.index, remote.WithContext(ctx),
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
