package page

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
)

const (
	// cookieName is the cookie with the token. The prefix binds it to this host and to HTTPS (RFC
	// 6265bis, section 4.1.3.2).
	cookieName = "__Host-epitaph-token"
	// maxTokenBytes bounds the tokens that are reviewed. A service account's has about 1,000 bytes.
	maxTokenBytes = 8 << 10
	// maxCookieBytes is how much of a token one cookie holds: browsers drop one whose name and
	// value exceed 4,096 bytes (RFC 6265bis, section 5.6).
	maxCookieBytes = 4000
	maxCookies     = (maxTokenBytes + maxCookieBytes - 1) / maxCookieBytes
	// believedFor is how long an answer of the API server is reused: a revoked right lasts for as
	// long.
	believedFor = 30 * time.Second
	// maxBelieved bounds the answers that are kept.
	maxBelieved = 4096
)

var errAnonymous = errors.New("no valid token")

// A Reviewer asks the API server whose token it is.
type Reviewer interface {
	Create(context.Context, *authenticationv1.TokenReview,
		metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// A desk finds out who visitors are.
type desk struct {
	reviews Reviewer
	// a hash of the token → *authenticationv1.UserInfo, nil for nobody
	known *cache.LRUExpireCache
}

// tokenOf returns the token of a request, from an authenticating proxy or from our own form.
func tokenOf(r *http.Request) string {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return token
	}
	var token strings.Builder
	for n := range maxCookies {
		c, err := r.Cookie(cookieOf(n))
		if err != nil {
			break
		}
		token.WriteString(c.Value)
	}
	return token.String()
}

// cookieOf returns the name of the cookie with the n-th part of a token.
func cookieOf(n int) string {
	if n == 0 {
		return cookieName
	}
	return cookieName + "-" + strconv.Itoa(n+1)
}

// visitor returns the user of a token; the error is errAnonymous if it has none.
func (d *desk) visitor(ctx context.Context, token string) (authenticationv1.UserInfo, error) {
	if token == "" || len(token) > maxTokenBytes {
		return authenticationv1.UserInfo{}, errAnonymous
	}
	key := sha256.Sum256([]byte(token))
	who, ok := d.known.Get(key)
	if !ok {
		review, err := d.reviews.Create(ctx,
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}},
			metav1.CreateOptions{})
		if err != nil {
			return authenticationv1.UserInfo{}, fmt.Errorf("review a token: %w: %w", errUnasked,
				err)
		}
		user := (*authenticationv1.UserInfo)(nil)
		if review.Status.Authenticated {
			user = &review.Status.User
		}
		d.known.Add(key, user, believedFor)
		who = user
	}
	if user := who.(*authenticationv1.UserInfo); user != nil {
		return *user, nil
	}
	return authenticationv1.UserInfo{}, errAnonymous
}
