package reason

import "testing"

func TestActorOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		user   string
		groups []string
		want   Actor
	}{
		"a person": {"alice@example.com",
			[]string{"system:authenticated"}, Person},
		"the administrator of k3s": {"system:admin", []string{"system:masters"}, Person},
		"nobody": {"system:anonymous",
			[]string{"system:unauthenticated"}, Person},
		"a service account": {"system:serviceaccount:argo:argo", nil,
			ServiceAccount},
		"of kube-system": {"system:serviceaccount:kube-system:coredns", nil,
			ServiceAccount},
		"of another kube-system": {
			"system:serviceaccount:tenant:replicaset-controller", nil, ServiceAccount},
		"a node": {"system:node:n1", []string{"system:nodes"},
			Kubelet},
		"a node's name without its group": {"system:node:n1", []string{"system:authenticated"},
			ControlPlane},
		"a group of nodes without the name": {"intruder", []string{"system:nodes"}, Person},
		"the API server itself": {"system:apiserver", []string{"system:masters"},
			ControlPlane},
		"the scheduler": {"system:kube-scheduler", nil, Scheduler},
		"all controllers under one name": {"system:kube-controller-manager", nil,
			ControllerManager},
		"taint eviction or the cloud": {"system:serviceaccount:kube-system:node-controller",
			nil, NodeController},
		"a person called like a system thing": {"systems-team", nil, Person},
	}
	for name, tt := range tests {
		if got := ActorOf(tt.user, tt.groups); got != tt.want {
			t.Errorf("%s: ActorOf(%s) = %s, want %s", name, tt.user, got, tt.want)
		}
	}
}

func TestActorsHaveNames(t *testing.T) {
	t.Parallel()
	for a := Person; a <= CloudProvider; a++ {
		text, err := a.MarshalText()
		var back Actor
		if err != nil || back.UnmarshalText(text) != nil || back != a {
			t.Errorf("actor %d is written %q, %v, and read as %s", a, text, err, back)
		}
	}
	if _, err := Actor(0).MarshalText(); err == nil {
		t.Error("nobody has a name")
	}
	var a Actor
	const want = `no actor is called "Robot": write one like Autoscaler, Rebalancer or ServiceAccount`
	if err := a.UnmarshalText([]byte("Robot")); err == nil || err.Error() != want {
		t.Errorf("reading an actor that there is not = %v, want %s", err, want)
	}
}
