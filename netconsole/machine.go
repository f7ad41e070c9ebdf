package netconsole

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A machine is what the API says of the machine behind a Node.
type machine struct {
	uid                           types.UID
	bootID, machineID, systemUUID string
	registered                    time.Time
}

func machineOf(node *corev1.Node) machine {
	info := node.Status.NodeInfo
	return machine{
		uid: node.UID, bootID: info.BootID, machineID: info.MachineID, systemUUID: info.SystemUUID,
		registered: node.CreationTimestamp.Time,
	}
}

// is reports whether two Nodes are one machine: the same boot, whose ID the kernel draws at random,
// or else both of the machine's lasting IDs are equal. One of these is not enough: cloned machines
// share their machine ID.
func (m machine) is(other machine) bool {
	sameBoot := m.bootID != "" && m.bootID == other.bootID
	sameIDs := m.machineID != "" && m.systemUUID != "" && m.machineID == other.machineID &&
		m.systemUUID == other.systemUUID
	return m.uid == other.uid || sameBoot || sameIDs
}

// registeredAfter orders Nodes by registration time, and those of the same second by UID.
func (m machine) registeredAfter(other machine) bool {
	if !m.registered.Equal(other.registered) {
		return m.registered.After(other.registered)
	}
	return m.uid > other.uid
}
