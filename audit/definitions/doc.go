// Package definitions lets the manager work while the API server lacks the
// CustomResourceDefinitions of its records: pods and nodes get their reasons and go, and only the
// record is missing. It reports that, with the remedy. Once the definitions are there, records are
// read and written without a restart.
//
// Helm installs the definitions of a chart with its first release, but neither upgrades them nor
// restores a deleted one.
package definitions
