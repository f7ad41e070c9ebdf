package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// An OwnerObituary says who deleted what pods belong to: a Job, a Deployment, a Namespace. It is
// written before the deletion is allowed, since the owner may be gone before its pods. There is one
// for each name; the last deletion counts. No namespace holds it: it outlives that one, too. Who
// scaled or suspended an owner is noted in the same way, for an hour.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=ownerobit,categories=epitaph
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.namespace`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.kind`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.name`
// +kubebuilder:printcolumn:name="Did",type=string,JSONPath=`.spec.did`
// +kubebuilder:printcolumn:name="Deleted By",type=string,JSONPath=`.spec.deletedBy`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Removed",type=date,JSONPath=`.spec.removed`
type OwnerObituary struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec OwnerObituarySpec `json:"spec"`
}

// OwnerObituarySpec is what is known about the deletion of one owner, or about what else cost it
// pods.
type OwnerObituarySpec struct {
	// APIVersion of the owner.
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`
	// Kind of the owner.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Namespace of the owner; empty for a Namespace.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// Name of the owner.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// UID tells the owners of one name apart.
	UID types.UID `json:"uid"`
	// Created is when the owner was created.
	Created metav1.Time `json:"created"`
	// Removed is when that was asked for.
	Removed metav1.Time `json:"removed"`
	// Did is what was done. Where it is empty, the owner was deleted.
	// +optional
	// +kubebuilder:validation:Enum=Scaled;Suspended
	Did string `json:"did,omitempty"`
	// To is how many pods the owner was to have after it was scaled.
	// +optional
	// +kubebuilder:validation:Minimum=0
	To int32 `json:"to,omitempty"`
	// Generation is that of the owner after it was scaled or suspended: with another one, somebody
	// else has changed it since.
	// +optional
	Generation int64 `json:"generation,omitempty"`
	// Deleted is what somebody did that to, as "Kind name": the owner, or what had owned it.
	// +kubebuilder:validation:MaxLength=400
	Deleted string `json:"deleted"`
	// DeletedBy is the user who did, as the API server authenticated them.
	// +kubebuilder:validation:MaxLength=256
	DeletedBy string `json:"deletedBy"`
	// Application is what the owner was deployed by, as it says itself.
	// +optional
	// +kubebuilder:validation:MaxLength=400
	Application string `json:"application,omitempty"`
	// Reason is what was said about why; empty where nothing was.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// OwnerObituaryList is a list of obituaries.
//
// +kubebuilder:object:root=true
type OwnerObituaryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []OwnerObituary `json:"items"`
}
