package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is what the records are served as.
var GroupVersion = schema.GroupVersion{Group: "epitaph-k8s.io", Version: "v1alpha1"}

// AddToScheme makes a scheme know the records.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &NodeObituary{}, &NodeObituaryList{}, &PodObituary{},
		&PodObituaryList{}, &OwnerObituary{}, &OwnerObituaryList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
