// Package serve answers questions about the archive by HTTPS, to those whom the cluster's own API
// server knows.
//
// A request is authenticated as the API server would have it: by a bearer token, which a
// TokenReview verifies, or by a client certificate of the cluster's authority. A
// SubjectAccessReview then says whether the user may list such records in the namespace that is
// asked for, or in all; for another cluster than the one in which it runs, whether they have the
// subresource "fleet". Nothing is read from the store before that.
//
// It is no aggregated API: one of those that is down keeps namespaces from being deleted.
//
// What this package does not do: write, log what a caller has sent, or tell a stranger anything.
package serve
