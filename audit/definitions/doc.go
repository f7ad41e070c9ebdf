// Package definitions lets the manager work while the API server lacks the
// CustomResourceDefinitions of its records: pods and nodes get their reasons and go, and only the
// record is missing. It says so, and what to do; once the definitions are there, records are read
// and written without a restart.
//
// Helm installs the definitions of a chart with its first release, and neither upgrades them nor
// puts back one that somebody deleted.
package definitions
