// Package httpsserver serves HTTPS to callers who may be hostile: the webhook and the page face
// whoever reaches their ports.
//
// It guarantees that a caller can hold no connection, handshake, header, body or answer for longer
// than a [Server] allows, and no more memory than its [Bodies] and its number of connections allow.
// One address gets at most half of either, so that one host cannot keep all others out.
//
// What this package does not do: say who the caller is (TLS or the handler does),
// or what is answered.
package httpsserver
