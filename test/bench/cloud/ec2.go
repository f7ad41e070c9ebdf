package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"text/template"
)

// An ec2 answers every question as EC2's documentation shows it, or none.
type ec2 struct {
	*httptest.Server
	hangs bool
	asked atomic.Int64
}

func startEC2(hangs bool) *ec2 {
	e := &ec2{hangs: hangs}
	e.Server = httptest.NewServer(e)
	return e
}

func (e *ec2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.asked.Add(1)
	if e.hangs {
		<-r.Context().Done()
		return
	}
	said, err := reply(r.Form.Get("InstanceId.1"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, said)
}

// reply is the documented reply about a spot instance that was taken back.
func reply(instance string) (string, error) {
	file, err := template.ParseFiles(
		filepath.Join("cloud", "aws", "testdata", "documented", "DescribeInstances.xml"))
	if err != nil {
		return "", fmt.Errorf("read the reply (run this from the root of the checkout): %w", err)
	}
	const code = "Server.SpotInstanceTermination"
	var said strings.Builder
	if err := file.Execute(&said, map[string]any{"State": "terminated", "Code": code,
		"Message": code, "Reason": code, "Spot": true, "Group": ""}); err != nil {
		return "", fmt.Errorf("fill in the reply: %w", err)
	}
	return strings.ReplaceAll(said.String(), "i-0598c7d356eba48d7", instance), nil
}

// environment leaves out what whoever runs this has of an account there.
var environment = []string{"-u", "AWS_PROFILE", "-u", "AWS_SESSION_TOKEN",
	"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=secret",
	"AWS_EC2_METADATA_DISABLED=true"}
