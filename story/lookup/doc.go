// Package lookup reads the records of the audit for those who tell of them: the plugin and the
// page.
//
// A [Finder] lists records by a [Filter] and gathers the facts of a story. What its reader may not
// see is left out of the story and never invented: a Job that cannot be read is unknown, not gone.
//
// What this package does not do: write, or tell the story (that is package story).
package lookup
