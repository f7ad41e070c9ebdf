package sign

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// How cosign keeps signatures of an image (cosign specs/SIGNATURE_SPEC.md): as an image under a tag
// beside it, of one layer for each signature.
const (
	payloadType    = types.MediaType("application/vnd.dev.cosign.simplesigning.v1+json")
	signatureKey   = "dev.cosignproject.cosign/signature"
	payloadPurpose = "cosign container image signature"
	tagSuffix      = ".sig"
)

// A claim is what is signed of an image: Red Hat's simple signing.
type claim struct {
	Critical critical       `json:"critical"`
	Optional map[string]any `json:"optional"`
}

type critical struct {
	Identity identity `json:"identity"`
	Image    claimed  `json:"image"`
	Type     string   `json:"type"`
}

type identity struct {
	Reference string `json:"docker-reference"`
}

type claimed struct {
	Digest string `json:"docker-manifest-digest"`
}

// Image signs what is in a registry, and returns the signature with the tag that it belongs under.
func (k Key) Image(signed name.Digest) (tag name.Tag, signature v1.Image, err error) {
	payload, err := json.Marshal(claim{Critical: critical{
		Identity: identity{signed.Context().Name()}, Image: claimed{signed.DigestStr()},
		Type: payloadPurpose,
	}})
	if err != nil {
		return name.Tag{}, nil, fmt.Errorf("write what is signed of %s: %w", signed, err)
	}
	bytes, err := k.signature(payload)
	if err != nil {
		return name.Tag{}, nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON)
	signature, err = mutate.Append(image, mutate.Addendum{
		Layer: static.NewLayer(payload, payloadType), MediaType: payloadType,
		Annotations: map[string]string{
			signatureKey: base64.StdEncoding.EncodeToString(bytes)},
	})
	if err != nil {
		return name.Tag{}, nil, fmt.Errorf("pack the signature of %s: %w", signed, err)
	}
	return signed.Context().Tag(strings.ReplaceAll(signed.DigestStr(), ":", "-") + tagSuffix),
		signature, nil
}
