// Package certs has the webhook's serving certificate: it serves the newest one, says whether the API server would accept it,
// and until when.
//
// Invariant: an instance is ready only while the certificate that it serves is valid now, covers the name under which the webhook
// configuration has it asked, and is verified by the caBundle there. Making certificates is cert-manager's business, or whoever
// else's; nothing here writes.
package certs
