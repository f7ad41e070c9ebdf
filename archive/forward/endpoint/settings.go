package endpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The files of a receiver.
const (
	urlFile     = "url"
	tokenFile   = "token"
	headersFile = "headers"
	caFile      = "ca.crt"
	certFile    = "tls.crt"
	keyFile     = "tls.key"
)

// maxFileBytes bounds each file: a Secret has no more.
const maxFileBytes = 1 << 20

// settings are what the files hold.
type settings struct{ url, token, headers, ca, cert, key string }

func read(dir string) (s settings, err error) {
	for name, to := range map[string]*string{urlFile: &s.url, tokenFile: &s.token,
		headersFile: &s.headers, caFile: &s.ca, certFile: &s.cert, keyFile: &s.key} {
		if *to, err = readFile(filepath.Join(dir, name)); err != nil {
			return s, err
		}
	}
	if s.url == "" {
		return s, fmt.Errorf("the file %s is missing or empty: write the receiver's URL into the key %s of its Secret",
			filepath.Join(dir, urlFile), urlFile)
	}
	return s, nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read a file of the receiver: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes))
	if err != nil {
		return "", fmt.Errorf("read a file of the receiver: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// target checks the URL. Its text is in no error: part of it may be the secret.
func (s settings) target(plain bool) (*url.URL, error) {
	u, err := url.Parse(s.url)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%s is no URL: write one such as https://events.example.com/epitaph", urlFile)
	case u.User != nil:
		return nil, fmt.Errorf("%s has a user in it: write the credentials into %s or %s", urlFile,
			tokenFile, headersFile)
	case u.Scheme == "http" && !plain:
		return nil, fmt.Errorf("%s begins with http: write one with https, or set plainHTTP if what lies between may read along",
			urlFile)
	}
	return u, nil
}

// header reads the lines of the file with headers, and the token.
func (s settings) header() (http.Header, error) {
	h := http.Header{}
	for n, line := range strings.Split(s.headers, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !found || !httpguts.ValidHeaderFieldName(name) ||
			!httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("line %d of %s is no header: write Name: value", n+1, headersFile)
		}
		h.Add(name, value)
	}
	if s.token != "" {
		value := "Bearer " + s.token
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("%s is no token: write one line without control characters", tokenFile)
		}
		h.Set("Authorization", value)
	}
	return h, nil
}

// secrets are the parts that must not be repeated.
func (s settings) secrets() []string {
	all := []string{s.url, s.token}
	if u, err := url.Parse(s.url); err == nil {
		all = append(all, u.RequestURI(), u.RawQuery, strings.TrimPrefix(u.Path, "/"))
	}
	for line := range strings.SplitSeq(s.headers, "\n") {
		if _, value, found := strings.Cut(line, ":"); found {
			all = append(all, strings.TrimSpace(value))
		}
	}
	return all
}
