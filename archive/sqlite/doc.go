// Package sqlite keeps the archive in a file, for clusters whose team has no PostgreSQL.
//
// One process writes the file at a time; others that try wait, and read meanwhile (write-ahead
// log). The file must be on a disk of the machine or on a volume that is attached to it: locks on
// network file systems are not to be trusted (sqlite.org/faq.html, question 5).
//
// What it guarantees: a batch is stored with its position or not at all, and survives a crash of
// the process. With synchronous=FULL it survives one of the machine, too.
package sqlite
