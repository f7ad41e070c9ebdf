// Package config is the configuration file of the manager and the agent: its types, its defaults,
// and its validation.
//
// [Load] reads YAML strictly. It reports everything that is wrong with a file at once, each with
// the path of the field and what to write instead; a program never starts with a file that it
// understands only in part. Each component gets only its own section.
package config
