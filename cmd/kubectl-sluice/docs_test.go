package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// TestReference holds that the reference says what the commands do now.
func TestReference(t *testing.T) {
	written, err := os.ReadFile(filepath.Join("..", "..", "docs", "kubectl-sluice.md"))
	if err != nil {
		t.Fatal(err)
	}
	root := newCommand(&cli{IOStreams: genericiooptions.NewTestIOStreamsDiscard(), now: time.Now})
	if diff := cmp.Diff(string(written), reference(root)); diff != "" {
		t.Errorf("run \"make generate\" (-written +now):\n%s", diff)
	}
}

// word is a word of a shell's line, quoted or not.
var word = regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s"']+(?:'[^']*')?`)

// TestDocumentedCommands holds that every command of the documentation is one, with
// its flags and arguments.
func TestDocumentedCommands(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range pages {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(raw), "```") {
			if i%2 == 0 || !strings.HasPrefix(block, "sh\n") {
				continue
			}
			for _, line := range strings.Split(block, "\n") {
				_, line, ok := strings.Cut(line, "kubectl sluice ")
				if !ok || strings.HasPrefix(line, "completion") {
					continue
				}
				found++
				line, _, _ = strings.Cut(line, " #")
				checkLine(t, filepath.Base(page), line)
			}
		}
	}
	if found < 30 {
		t.Errorf("found %d commands", found)
	}
}

func checkLine(t *testing.T, page, line string) {
	t.Helper()
	var words []string
	for _, w := range word.FindAllString(line, -1) {
		words = append(words, strings.Trim(w, `"'`))
	}
	root := newCommand(&cli{IOStreams: genericiooptions.NewTestIOStreamsDiscard(), now: time.Now})
	cmd, rest, err := root.Find(words)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil || cmd == root {
		t.Errorf("%s: kubectl sluice %s: %v", page, line, err)
	}
}
