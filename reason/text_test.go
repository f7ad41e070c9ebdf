package reason

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseText(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		give string
		want Text
		err  string
	}{
		"words stay as they are":     {give: "disk sda failed", want: "disk sda failed"},
		"blanks at the ends are cut": {give: " \t\n wrong image \n", want: "wrong image"},
		"other scripts are welcome": {give: "Festplatte defekt 磁盘 🙂",
			want: "Festplatte defekt 磁盘 🙂"},
		"nothing":     {give: "", err: "the reason is empty"},
		"blanks only": {give: " \n\t\u00a0", err: "the reason is empty"},
		"a terminal escape": {give: "a\x1b[2Jb",
			err: "the reason contains the control character U+001B at byte 1"},
		"a line break inside": {give: "a\nb",
			err: "the reason contains the control character U+000A at byte 1"},
		"a C1 control character": {give: "ab\u009bc",
			err: "the reason contains the control character U+009B at byte 2"},
		"a directional override": {give: "a\u202eb",
			err: "the reason contains the control character U+202E at byte 1"},
		"a directional isolate": {give: "a\u2066b",
			err: "the reason contains the control character U+2066 at byte 1"},
		"a line separator": {give: "a\u2028b",
			err: "the reason contains the control character U+2028 at byte 1"},
		"no UTF-8": {give: "a\xffb", err: "the reason is not valid UTF-8"},
		"as long as is allowed": {give: strings.Repeat("x", 1024),
			want: Text(strings.Repeat("x", 1024))},
		"one byte too long": {give: strings.Repeat("x", 1025),
			err: "the reason has 1025 bytes, at most 1024 are allowed"},
		"too long only for its blanks": {give: strings.Repeat(" ", 2000) + "x", want: "x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseText(tt.give)
			if got != tt.want {
				t.Errorf("ParseText(%q) = %q, want %q", tt.give, got, tt.want)
			}
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("ParseText(%q) fails with %v, want %q", tt.give, err, tt.err)
			}
		})
	}
	if _, err := ParseText(" "); !errors.Is(err, ErrBlank) {
		t.Errorf("ParseText of blanks = %v, want ErrBlank", err)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		give string
		want Text
	}{
		"words stay as they are":          {"disk sda failed", "disk sda failed"},
		"blanks at the ends are cut":      {"\n x \t", "x"},
		"blanks stay none":                {" \n", ""},
		"a terminal escape is shown":      {"a\x1b[2Jb", `a\x1b[2Jb`},
		"a line break is shown":           {"a\r\nb", `a\x0d\x0ab`},
		"a C1 control character is shown": {"a\u009bb", `a\u009bb`},
		"an override is shown":            {"a\u202eb", `a\u202eb`},
		"a broken byte is shown":          {"a\xffb", `a\xffb`},
		"the replacement character stays": {"a\ufffdb", "a\ufffdb"},
		"what is too long is cut": {strings.Repeat("x", 1025),
			Text(strings.Repeat("x", 1021) + "…")},
		"no rune is cut in two": {strings.Repeat("é", 600),
			Text(strings.Repeat("é", 510) + "…")},
		"blanks do not count": {strings.Repeat(" ", 5000) + "x", "x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Clean(tt.give); got != tt.want {
				t.Errorf("Clean(%.40q) = %q, want %q", tt.give, got, tt.want)
			}
		})
	}
}

// An admission policy refuses by TextPattern: it must not differ from what ParseText refuses.
func TestTextPatternIsWhatParseTextRefuses(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(TextPattern)
	check := func(r rune) {
		if found := pattern.MatchString(string(r)); found != obeyed(r) {
			t.Errorf("%U: the pattern says %t, ParseText %t", r, found, obeyed(r))
		}
	}
	for r := range rune(0x3000) {
		check(r)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		if r := random.Int32N(utf8.MaxRune + 1); utf8.ValidRune(r) {
			check(r)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"", " x ", "a\x1b[2J", "\u202e", "\xff\xfe",
		strings.Repeat("\x00", 400), strings.Repeat("é", 600), strings.Repeat(" ", 5000) + "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := string(Clean(s))
		if len(got) > MaxTextBytes || !utf8.ValidString(got) || strings.ContainsFunc(got, obeyed) ||
			strings.TrimSpace(got) != got {
			t.Errorf("Clean(%q) = %q: not a text", s, got)
		}
		if (got == "") != (strings.TrimSpace(s) == "") {
			t.Errorf("Clean(%q) = %q: only blanks are nothing", s, got)
		}
		if again := string(Clean(got)); again != got {
			t.Errorf("Clean(%q) = %q, cleaned again %q", s, got, again)
		}
		if text, err := ParseText(s); err == nil && string(text) != got {
			t.Errorf("Clean changes %q, which ParseText accepts, into %q", s, got)
		}
	})
}
