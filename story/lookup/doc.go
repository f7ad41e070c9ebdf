// Package lookup reads the audit's records for the plugin and the page.
//
// A [Finder] lists records by a [Filter] and gathers the facts of a story. What its user may not
// read is left out of the story and never guessed: a Job that cannot be read is unknown, not gone.
//
// What this package does not do: write, or tell the story (that is package story).
package lookup
