// Package page shows the records to people who do not use kubectl: read-only pages, rendered on the
// server, without JavaScript.
//
// The API server authenticates a visitor by their bearer token (TokenReview) and decides what they
// may read (SubjectAccessReview): every read goes through a guard that asks for the visitor. A
// visitor never gets the page's own rights. Text from outside is cleaned by [reason.Clean] and
// escaped by html/template; should that fail, a Content-Security-Policy lets a browser run nothing.
//
// What this package does not do: write anything, keep a session (the token in the visitor's cookie
// is all there is), or log a token.
package page
