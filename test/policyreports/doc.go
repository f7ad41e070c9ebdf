// Package policyreports pins the module whose folder config/crds/policyreport has the definitions
// of PolicyReport and ClusterPolicyReport. The tests install them; nothing is built of it.
package policyreports

import _ "github.com/kyverno/kyverno/api/policyreport/v1alpha2" // so that the module is kept
