// Package toll sums up what the end of a node cost: its pods, by their topmost owner, and the hours
// that they had run and held GPUs for. The plugin and the page tell the same of it.
//
// What this package does not do: find the records, or say what a program had saved.
package toll
