// Package archive says what is kept of records after they have left the cluster, and how a store
// of them is asked.
//
// A [Record] is one revision of an obituary of a Pod, a Node or an owner. A [Store] holds the
// newest revision of each, by cluster and UID. There are two: archive/postgres and archive/sqlite.
// test/storetest is the one suite that both pass.
//
// What this package does not do: connect to a database, or to an API server.
package archive
