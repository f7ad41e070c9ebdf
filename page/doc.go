// Package page shows the records to those who do not use kubectl: read-only pages, rendered here,
// without JavaScript.
//
// A visitor is whoever the API server says that their bearer token belongs to (TokenReview), and
// reads what it says that they may read (SubjectAccessReview): every read goes through a guard that
// asks in their name. The page's own rights are never the visitor's. What others wrote is escaped
// by html/template, after [reason.Clean]; should that fail, a Content-Security-Policy lets a
// browser run nothing.
//
// What this package does not do: write anything, keep a session (the token in the visitor's cookie
// is all there is), or log a token.
package page
