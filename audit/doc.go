// Package audit keeps what outlives a Pod or a Node: the record of what it died of.
//
// [NodeObituaries] is the memory of Nodes. A NodeObituary is written before the deletion of its
// Node is allowed, so neither the end of the Node object nor a crash of ours can lose what the node
// died of; whoever finds the node's pods afterwards looks it up here.
//
// What this package does not do: change or delete Pods and Nodes. It writes its own records only.
package audit
