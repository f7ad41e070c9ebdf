// Package httpsserver serves HTTPS to callers who may be hostile: anybody who reaches their ports
// can call the webhook and the page.
//
// It guarantees that a caller can hold no connection, handshake, header, body or answer for longer
// than a [Server] allows, and no more memory than its [Bodies] and its number of connections allow.
// One address gets at most half of either, so that one host cannot keep all others out.
//
// What this package does not do: authenticate the caller (TLS or the handler does), or answer
// requests.
package httpsserver
