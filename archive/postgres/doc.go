// Package postgres keeps the archive in PostgreSQL, 15 or later.
//
// What it guarantees:
//   - A batch is stored with its position or not at all, and each record once, however often it is
//     sent and by however many processes: batches of one cluster wait for each other.
//   - Migrations go forward only. Processes that start at once wait for each other, by an advisory
//     lock of the session: the connection must not go through a pool that shares sessions between
//     transactions.
//   - Expiry drops the partition of a month: it takes no time, and leaves nothing to vacuum.
package postgres
