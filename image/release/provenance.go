package release

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/epitaph-k8s/epitaph/image/sign"
)

const (
	statementMediaType = "application/vnd.in-toto+json"
	provenanceType     = "https://slsa.dev/provenance/v1"
	// buildType names the meaning of the parameters: docs/image.md.
	buildType = "https://epitaph-k8s.io/make-release/v1"
	// builder is whoever ran `make release` with the key: no service stands for it.
	builder = "https://epitaph-k8s.io/make-release/holder-of-the-key"
	source  = "git+https://github.com/epitaph-k8s/epitaph"
)

// attest says in the words of SLSA what the files were made of. It has no time: the statement, too,
// is the same each time.
func (r Recipe) attest(ctx context.Context, made []file, from sources) ([]byte, error) {
	parameters := map[string]any{"version": r.Version}
	if r.Image != "" {
		parameters["image"] = r.Image
	}
	external, err := structpb.NewStruct(parameters)
	if err != nil {
		return nil, fmt.Errorf("write the provenance: %w", err)
	}
	p := &provenance.Provenance{
		BuildDefinition: &provenance.BuildDefinition{
			BuildType: buildType, ExternalParameters: external,
			ResolvedDependencies: []*intoto.ResourceDescriptor{
				{Uri: source + "@" + from.commit,
					Digest: map[string]string{"gitCommit": from.commit}},
				{Name: "go", Uri: "https://go.dev/dl/#" + from.toolchain},
			},
		},
		RunDetails: &provenance.RunDetails{Builder: &provenance.Builder{Id: builder}},
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("write the provenance: %w", err)
	}
	predicate, err := asStruct(p)
	if err != nil {
		return nil, fmt.Errorf("write the provenance: %w", err)
	}
	statement := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: provenanceType,
		Predicate: predicate}
	for _, f := range made {
		statement.Subject = append(statement.Subject, &intoto.ResourceDescriptor{
			Name: f.name, Digest: map[string]string{"sha256": hex.EncodeToString(f.digest[:])}})
	}
	if err := statement.Validate(); err != nil {
		return nil, fmt.Errorf("write the provenance: %w", err)
	}
	text, err := protojson.Marshal(statement)
	if err != nil {
		return nil, fmt.Errorf("write the provenance: %w", err)
	}
	// Protobuf's own JSON has blanks that differ from one build of the library to the next.
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, fmt.Errorf("write the provenance: %w", err)
	}
	return signed(ctx, r.Key, compact.Bytes())
}

func asStruct(p *provenance.Provenance) (*structpb.Struct, error) {
	text, err := protojson.Marshal(p)
	if err != nil {
		return nil, err
	}
	s := &structpb.Struct{}
	return s, protojson.Unmarshal(text, s)
}

// signed is the statement in its envelope; or bare, where there is no key.
func signed(ctx context.Context, key *sign.Key, statement []byte) ([]byte, error) {
	if key == nil {
		return statement, nil
	}
	return key.Envelope(ctx, statementMediaType, statement)
}
