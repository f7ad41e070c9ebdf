package main

import (
	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/story"
)

func podHeader(namespace, wide bool) []string {
	h := []string{"POD", "CODE", "NODE", "OWNER", "LEFT", "REASON"}
	if namespace {
		h = append([]string{"NAMESPACE"}, h...)
	}
	if wide {
		h = append(h, "BY", "DELETED BY", "CLASS", "UID")
	}
	return h
}

func (p *plugin) podRow(o *v1alpha1.PodObituary, namespace, wide bool) []string {
	s := &o.Spec
	row := []string{s.PodName, s.Code, s.NodeName, story.LastOwner(s.Owners), p.ago(s.Removed),
		s.Reason}
	if namespace {
		row = append([]string{o.Namespace}, row...)
	}
	if wide {
		row = append(row, s.By, s.DeletedBy, s.Class, string(s.PodUID))
	}
	return row
}

func nodeHeader(wide bool) []string {
	h := []string{"NODE", "CODE", "BY", "LEFT", "REASON"}
	if wide {
		h = append(h, "DELETED BY", "CAME BACK", "FOUND IN", "BOOT", "UID")
	}
	return h
}

func (p *plugin) nodeRow(o *v1alpha1.NodeObituary, wide bool) []string {
	s := &o.Spec
	row := []string{s.NodeName, s.Code, s.By, p.ago(s.Removed), s.Reason}
	if wide {
		back, found := "no", ""
		if s.Returned {
			back = "yes"
		}
		if s.Amended != nil {
			found = s.Amended.From
		}
		row = append(row, s.DeletedBy, back, found, s.BootID, string(s.NodeUID))
	}
	return row
}
