// Package certs has the webhook's serving certificate: it serves the newest one, says whether the
// API server would accept it, and until when; where cert-manager makes it, what cert-manager
// says of its Certificates; and where Helm made it, it renews it.
//
// Invariant: an instance is ready only while the certificate that it serves is valid now, covers
// the name under which the webhook configuration has it asked, and is verified by the caBundle
// there. What cert-manager says explains, and decides nothing: a certificate is served as long as
// it is good, whoever made it, whether or not cert-manager is there.
//
// What this package does not do: issue certificates where cert-manager or whoever supplies the
// Secret does. Only a Renewal writes: the Secret that Helm made, and the caBundle.
package certs
