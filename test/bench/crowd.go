package bench

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// A Crowd is many nodes, each with so many pods. It is put into the store behind the API server's
// back, as copies of what that has made of one node, one pod and one Job: to create them takes half
// an hour, and is not what is measured.
type Crowd struct {
	Prefix          string
	Nodes, PodsEach int

	cluster *Cluster
	pod     *corev1.Pod
	encoder map[schema.GroupVersion]runtime.Encoder
}

// AddCrowd makes a crowd.
func (c *Cluster) AddCrowd(ctx context.Context, prefix string, nodes,
	podsEach int) (*Crowd, error) {
	all := &Crowd{Prefix: prefix, Nodes: nodes, PodsEach: podsEach, cluster: c,
		encoder: map[schema.GroupVersion]runtime.Encoder{}}
	form, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(),
		runtime.ContentTypeProtobuf)
	if !ok {
		return nil, fmt.Errorf("there is no serializer for %s", runtime.ContentTypeProtobuf)
	}
	for _, version := range []schema.GroupVersion{corev1.SchemeGroupVersion,
		batchv1.SchemeGroupVersion} {
		all.encoder[version] = scheme.Codecs.EncoderForVersion(form.Serializer, version)
	}
	first := NodeName(prefix, 0)
	if err := c.addNode(ctx, first); err != nil {
		return nil, err
	}
	node, err := c.Client.CoreV1().Nodes().Get(ctx, first, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read node %s: %w", first, err)
	}
	if all.pod, err = c.addPod(ctx, first, 0); err != nil {
		return nil, err
	}
	copies := map[string][]byte{}
	for n := 1; n < nodes; n++ {
		another := node.DeepCopy()
		another.Name = NodeName(prefix, n)
		another.UID, another.ResourceVersion = uid(n, 1<<40), ""
		another.Spec.ProviderID = "folder://" + another.Name
		if err := all.encode(copies, corev1.SchemeGroupVersion, another,
			"/registry/minions/"+another.Name); err != nil {
			return nil, err
		}
	}
	if err := c.Store(ctx, copies); err != nil {
		return nil, err
	}
	return all, all.storePods(ctx, 0, func(int) []metav1.OwnerReference { return nil })
}

// GiveOwners makes so many Jobs, and has the pods belong to them in turn, but for those of the first
// node, which may be gone.
func (all *Crowd) GiveOwners(ctx context.Context, owners int) error {
	c := all.cluster
	job, err := c.addOwner(ctx, all.Prefix+"-owner-0")
	if err != nil {
		return err
	}
	copies, references := map[string][]byte{}, make([]metav1.OwnerReference, owners)
	for n := range owners {
		another := job.DeepCopy()
		another.ResourceVersion = ""
		if n > 0 {
			another.Name, another.UID = fmt.Sprintf("%s-owner-%d", all.Prefix, n), uid(n, 1<<41)
			if err := all.encode(copies, batchv1.SchemeGroupVersion, another,
				"/registry/jobs/"+Namespace+"/"+another.Name); err != nil {
				return err
			}
		}
		references[n] = *metav1.NewControllerRef(another,
			batchv1.SchemeGroupVersion.WithKind("Job"))
	}
	if err := c.Store(ctx, copies); err != nil {
		return err
	}
	return all.storePods(ctx, 1, func(n int) []metav1.OwnerReference {
		return references[n%owners : n%owners+1]
	})
}

// storePods stores the pods from a node on, with their owners. The first pod of all stays as it was
// made.
func (all *Crowd) storePods(ctx context.Context, from int,
	owners func(int) []metav1.OwnerReference) error {
	for n := from; n < all.Nodes; n++ {
		copies := map[string][]byte{}
		for p := range all.PodsEach {
			another := all.pod.DeepCopy()
			another.Name, another.Spec.NodeName = podName(NodeName(all.Prefix, n), p),
				NodeName(all.Prefix, n)
			if another.Name == all.pod.Name {
				continue
			}
			another.UID, another.ResourceVersion = uid(n, p), ""
			another.OwnerReferences = owners(n*all.PodsEach + p)
			if err := all.encode(copies, corev1.SchemeGroupVersion, another,
				"/registry/pods/"+Namespace+"/"+another.Name); err != nil {
				return err
			}
		}
		if err := all.cluster.Store(ctx, copies); err != nil {
			return err
		}
	}
	return nil
}

// encode adds an object as the API server stores it.
func (all *Crowd) encode(to map[string][]byte, version schema.GroupVersion, object runtime.Object,
	key string) (err error) {
	if to[key], err = runtime.Encode(all.encoder[version], object); err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	return nil
}

// uid is one that no other object of the crowd has, and the same each time.
func uid(n, p int) types.UID {
	return types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", n, p))
}
