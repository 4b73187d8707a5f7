package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// terminal keeps the prompt below whatever else is written.
type terminal struct {
	out         io.Writer
	interactive bool
	asking      bool
}

const promptText = "sluice> "

// Write implements io.Writer for whole lines.
func (t *terminal) Write(b []byte) (int, error) {
	text := string(b)
	if t.interactive && t.asking {
		text = "\r\x1b[K" + text + promptText
	}
	if _, err := io.WriteString(t.out, text); err != nil {
		return 0, fmt.Errorf("writing to the terminal: %w", err)
	}
	return len(b), nil
}

// prompt reads commands line by line.
type prompt struct {
	lines    chan string
	terminal *terminal
}

// newPrompt reads in until it ends.
func newPrompt(ctx context.Context, in io.Reader, t *terminal) *prompt {
	p := &prompt{lines: make(chan string), terminal: t}
	go func() {
		defer close(p.lines)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case p.lines <- strings.TrimSpace(scanner.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	return p
}

// ask shows the prompt.
func (p *prompt) ask() {
	p.terminal.asking = true
	if p.terminal.interactive {
		_, _ = io.WriteString(p.terminal.out, promptText) // a terminal that is gone ends the program by a signal
	}
}

// command is a word that the prompt knows.
type command struct {
	help string
	run  func(ctx context.Context, d *director) error
}

func commands() map[string]command {
	return map[string]command{
		"good": {"release a version that works", func(ctx context.Context, d *director) error {
			return d.pushNext(ctx, "")
		}},
		"bad": {"release a version that fails one request in five", func(ctx context.Context, d *director) error {
			return d.pushNext(ctx, "-errors-20")
		}},
		"slow": {"release a version that takes 800 ms to answer", func(ctx context.Context, d *director) error {
			return d.pushNext(ctx, "-latency-800ms")
		}},
		"promote": {"pass the current step now", func(ctx context.Context, d *director) error {
			return d.act(ctx, v1alpha1.ActionPromote)
		}},
		"abort": {"take the release back", func(ctx context.Context, d *director) error {
			return d.act(ctx, v1alpha1.ActionAbort)
		}},
		"retry": {"start the aborted release again", func(ctx context.Context, d *director) error {
			return d.act(ctx, v1alpha1.ActionRetry)
		}},
		"kill": {"kill the operator (SIGKILL); it is started again a second later", func(_ context.Context, d *director) error {
			return d.operator.Kill()
		}},
		"status": {"where the Rollout stands", func(_ context.Context, d *director) error {
			_, err := fmt.Fprint(d.printer.Out, d.describe())
			return err
		}},
	}
}

// obey carries out one line.
func (d *director) obey(ctx context.Context, line string) (quit bool, err error) {
	switch line {
	case "":
		return false, nil
	case "quit", "exit", "q":
		return true, nil
	case "help", "?":
		_, err := fmt.Fprint(d.printer.Out, helpText())
		return false, err
	}
	c, known := commands()[line]
	if !known {
		return false, fmt.Errorf("no such command: %q; try help", line)
	}
	return false, c.run(ctx, d)
}

func helpText() string {
	all := commands()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "  %-8s %s\n", name, all[name].help)
	}
	fmt.Fprintf(&b, "  %-8s %s\n", "quit", "end it all")
	return b.String()
}

// pushNext pushes a version with a new number, that behaves as its suffix says.
func (d *director) pushNext(ctx context.Context, suffix string) error {
	d.versions++
	return d.pushAndTell(ctx, fmt.Sprintf("v%d%s", firstFreeVersion+d.versions-1, suffix))
}

// firstFreeVersion is the number after those of the demo.
const firstFreeVersion = 4

// act commands the release that goes on, or was aborted last.
func (d *director) act(ctx context.Context, action v1alpha1.ActionType) error {
	if d.rollout == nil || d.rollout.Status.Canary == nil {
		return errors.New("no release is in progress")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := d.client.Create(ctx, &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: strings.ToLower(string(action)) + "-"},
		Spec: v1alpha1.RolloutActionSpec{
			Rollout: serviceName, Action: action, Revision: d.rollout.Status.Canary.Revision,
			Reason: "typed at the playground's prompt", RequestedBy: "you",
		},
	}, client.FieldOwner(fieldOwner))
	if err != nil {
		return fmt.Errorf("creating the action: %w", err)
	}
	return nil
}

// describe says where the Rollout stands, in a few lines.
func (d *director) describe() string {
	if d.rollout == nil {
		return "the Rollout was not seen yet\n"
	}
	var b strings.Builder
	status := &d.rollout.Status
	for _, r := range []struct {
		name     string
		revision *v1alpha1.RevisionStatus
	}{{"stable", status.Stable}, {"canary", status.Canary}} {
		if r.revision != nil {
			fmt.Fprintf(&b, "  %-7s %s: %d of %d pods available, %d%% of requests\n",
				r.name, r.revision.Revision, r.revision.Available, r.revision.Replicas, d.split.Share(r.revision.Revision))
		}
	}
	for _, c := range status.Conditions {
		fmt.Fprintf(&b, "  %-16s %-7s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}
