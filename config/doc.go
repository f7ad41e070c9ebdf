// Package config is the manager's configuration file: its types, its defaults, and what makes it
// valid.
//
// [Load] reads YAML strictly. Whatever is wrong with a file is said with the path of the field and
// what to write instead, everything at once; a program never starts on a file that it understands
// only in part. Each component gets its own section and sees no other.
package config
