package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// An issuer is an OpenID provider with one key: what a browser is sent to is not here, nor does the
// API server ask for it.
type issuer struct {
	key    *rsa.PrivateKey
	server *httptest.Server
}

// provider signs the tokens of people in the shared cluster.
var provider *issuer

const audience = "epitaph-page"

func newIssuer() (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make the key of an issuer: %w", err)
	}
	i := &issuer{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration",
		func(w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, map[string]any{"issuer": i.server.URL, "jwks_uri": i.server.URL + "/keys",
				"id_token_signing_alg_values_supported": []string{"RS256"}})
		})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, map[string]any{"keys": []any{map[string]string{"kty": "RSA", "alg": "RS256",
			"use": "sig", "kid": "1", "n": base64URL(key.N.Bytes()),
			"e": base64URL(big.NewInt(int64(key.E)).Bytes())}}})
	})
	i.server = httptest.NewTLSServer(mux)
	return i, nil
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever has gone reads nothing
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// known is how a sandbox's API server knows the issuer.
func (i *issuer) known() *sandbox.Issuer {
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: i.server.Certificate().Raw})
	return &sandbox.Issuer{URL: i.server.URL, Authority: string(authority), Audience: audience}
}

// token is an ID token of somebody (OpenID Connect Core, section 2), signed with the given key.
func (i *issuer) token(key *rsa.PrivateKey, who string, groups []string,
	ends time.Time) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "RS256", "kid": "1", "typ": "JWT"})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": i.server.URL, "aud": audience, "sub": who,
		"groups": groups, "iat": ends.Add(-time.Hour).Unix(), "exp": ends.Unix()})
	if err != nil {
		return "", err
	}
	signed := base64URL(header) + "." + base64URL(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed + "." + base64URL(signature), nil
}
