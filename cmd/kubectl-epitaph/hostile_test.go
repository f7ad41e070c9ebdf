package main

import (
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/test/hostile"
)

// Whatever is in whichever field of a record, the terminal gets text, and a program a document.
func TestHostileRecordsInATerminal(t *testing.T) {
	t.Parallel()
	pod, node := &v1alpha1.PodObituary{}, &v1alpha1.NodeObituary{}
	pod.Namespace, pod.Labels = hostile.Text, map[string]string{hostile.Text: hostile.Text}
	hostile.Fill(&pod.Spec)
	hostile.Fill(&node.Spec)
	facts := story.Facts{Pod: pod, Node: node}
	told := story.OfPod(facts)
	said := map[string]func(*plugin) error{
		"why of a pod":  func(p *plugin) error { return p.print(told) },
		"why of a node": func(p *plugin) error { return p.print(story.OfNode(node, nil)) },
	}
	for _, format := range []string{"json", "yaml", "jsonpath={}", "custom-columns=A:.labels," +
		"B:.containers,C:.requests,D:.limits,E:.verdict,F:.node.evidence,G:.node.kernelLog"} {
		said[format] = func(p *plugin) error {
			o := documentOutput{recordOutput{format: format}}
			to, err := o.printer()
			if err != nil {
				return err
			}
			return p.printDocument(to, o, facts.Data())
		}
	}
	for name, say := range said {
		var out strings.Builder
		if err := say(&plugin{out: &out}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if found, ok := hostile.Obeyed(out.String()); ok {
			t.Errorf("%s lets a terminal obey %q", name, found)
		}
		if !strings.Contains(out.String(), "owned") {
			t.Errorf("%s has nothing of what was written: %s", name, out.String())
		}
	}
}
