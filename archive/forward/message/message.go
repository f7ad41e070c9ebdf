// Package message sends records as JSON that a template writes, to receivers such as the incoming
// webhooks of chats.
//
// What a record says is text of others. Wherever a template inserts it, it is escaped for a string
// in JSON, as html/template does for HTML: what is inserted ends no string and begins no field. How
// chats read it, the functions slack and markdown know.
package message

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
)

// Default is a template for Slack.
const Default = `{
  "text": "{{ slack .Kind }} {{ with .Namespace }}{{ slack . }}/{{ end }}{{ slack .Name }} left {{ slack .Cluster }}` +
	`{{ with .Code }} ({{ slack . }}){{ end }}: {{ slack .Reason }}",
  "mrkdwn": false
}`

// A Message is what a template can insert.
type Message struct {
	Cluster, Kind, Namespace, Name, Node string
	Code, Class, Reason, By              string
	ID                                   string
	Removed                              time.Time
	// Amended is set if the record is not what was written first.
	Amended bool
	Owners  []string
	Labels  map[string]string
	// Record is the whole record, as JSON.
	Record JSON
}

// JSON is text that is inserted as it is.
type JSON string

// A Sender sends one message in each request.
type Sender struct {
	endpoint *endpoint.Endpoint
	template *template.Template
}

var _ forward.Sender = (*Sender)(nil)

// New returns a sender of what a template writes, [Default] if it is empty. It is tried on records
// with hostile text first; the error says what to write instead.
func New(to *endpoint.Endpoint, text string) (*Sender, error) {
	if text == "" {
		text = Default
	}
	t, err := template.New("template").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the template cannot be read: %w", err)
	}
	for _, each := range t.Templates() {
		if each.Tree != nil {
			escape(each.Root)
		}
	}
	s := &Sender{endpoint: to, template: t}
	for _, sample := range samples() {
		if _, err := s.write(sample); err != nil {
			return nil, fmt.Errorf("the template does not work for a %s: %w", sample.Kind, err)
		}
	}
	return s, nil
}

// inserted is the name of the function that escapes what a template inserts.
const inserted = "_inserted"

var functions = template.FuncMap{
	"json": encode, "slack": slack, "markdown": markdown, "join": strings.Join, inserted: insert,
}

// escape has all that is inserted below a node go through insert, which comes last.
func escape(node parse.Node) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, each := range n.Nodes {
			escape(each)
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand,
				Pos: n.Pos, Args: []parse.Node{parse.NewIdentifier(inserted).SetPos(n.Pos)}})
		}
	case *parse.IfNode:
		escape(n.List)
		escape(n.ElseList)
	case *parse.RangeNode:
		escape(n.List)
		escape(n.ElseList)
	case *parse.WithNode:
		escape(n.List)
		escape(n.ElseList)
	}
}

func insert(value any) (JSON, error) {
	if text, ok := value.(JSON); ok {
		return text, nil
	}
	quoted, err := encode(fmt.Sprint(value))
	if err != nil {
		return "", err
	}
	return quoted[1 : len(quoted)-1], nil
}

// encode writes any value as JSON, strings with their quotes.
func encode(value any) (JSON, error) {
	text, err := json.Marshal(value)
	return JSON(text), err
}

// unseen keeps a chat from reading what follows an @ as somebody who is called.
const unseen = "@\u200b"

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", unseen)

// slack escapes text for Slack, whose mentions and links are in angle brackets.
func slack(text string) string { return slackEscapes.Replace(text) }

// markdown escapes text for chats that read Markdown: CommonMark lets a backslash escape all
// punctuation of ASCII.
func markdown(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '@':
			b.WriteString(unseen)
			continue
		case r == '\n' || r == '\r':
			r = ' '
		case strings.ContainsRune("\\`*_{}[]()<>#+-.!|~&:\"'=$%^/,;?", r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Batch is 1.
func (*Sender) Batch() int { return 1 }

// Send sends what the template writes; nothing if it writes nothing.
func (s *Sender) Send(ctx context.Context, records []archive.Record) (forward.Outcome, error) {
	m, err := of(records[0])
	if err != nil {
		return forward.Outcome{}, err
	}
	body, err := s.write(m)
	if err != nil || len(body) == 0 {
		return forward.Outcome{}, err
	}
	if _, err := s.endpoint.Post(ctx, "application/json", body); err != nil {
		return forward.Outcome{}, err
	}
	return forward.Outcome{Sent: 1}, nil
}

// bounded is a buffer that takes no more than a request may have.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(text []byte) (int, error) {
	if b.Len()+len(text) > endpoint.MaxBytes {
		return 0, fmt.Errorf("it writes more than %d bytes: insert less", endpoint.MaxBytes)
	}
	return b.Buffer.Write(text)
}

func (s *Sender) write(m Message) ([]byte, error) {
	var b bounded
	if err := s.template.Execute(&b, m); err != nil {
		return nil, fmt.Errorf("%w (there are .Cluster, .Kind, .Namespace, .Name, .Node, .Code, .Class, .Reason, .By, .ID, .Removed, .Amended, .Owners, .Labels and .Record)",
			err)
	}
	body := bytes.TrimSpace(b.Bytes())
	var any json.RawMessage
	if err := json.Unmarshal(body, &any); len(body) > 0 && err != nil {
		return nil, fmt.Errorf(
			"what it writes is no JSON (%w): write text between quotes, as in {\"text\": \"{{ .Reason }}\"}, and other values as in {{ json .Labels }}",
			err)
	}
	return body, nil
}

func of(r archive.Record) (Message, error) {
	s, err := forward.Summarize(r)
	if err != nil {
		return Message{}, err
	}
	return Message{Cluster: r.Cluster, Kind: string(r.Kind), Namespace: r.Namespace, Name: r.Name,
		Node: r.Node, Code: r.Code, Class: r.Class, Reason: s.Reason, By: s.By, ID: forward.ID(r),
		Removed: r.Removed, Amended: s.Amended, Owners: s.Owners, Labels: s.Labels,
		Record: JSON(r.Document)}, nil
}

// samples are records of each kind, with text that would end a string, and without.
func samples() (all []Message) {
	for _, text := range []string{"x", "\"}\\\n\u2028{{<!channel>", ""} {
		for _, kind := range archive.Kinds() {
			for _, amended := range []bool{false, true} {
				all = append(all, Message{Cluster: text, Kind: string(kind), Namespace: text,
					Name: text, Node: text, Code: text, Class: text, Reason: text, By: text,
					ID: text, Removed: time.Unix(0, 0).UTC(), Amended: amended,
					Owners: []string{text, text}, Labels: map[string]string{text: text}, Record: `{"spec":{}}`})
			}
		}
	}
	return all
}
