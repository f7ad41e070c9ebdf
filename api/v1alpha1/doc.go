// Package v1alpha1 holds the records that outlive the objects they are about.
//
// A record is written once, read by people and by Epitaph itself, and removed by age. It has no
// status and no controller.
//
// +kubebuilder:object:generate=true
// +groupName=epitaph-k8s.io
package v1alpha1
