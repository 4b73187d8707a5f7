package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// referenceCommand writes docs/kubectl-sluice.md. It is for the repository, so help
// does not list it.
func (c *cli) referenceCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "reference",
		Short:  "Print the reference of all commands, in Markdown",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := io.WriteString(c.Out, reference(cmd.Root())); err != nil {
				return fmt.Errorf("printing: %w", err)
			}
			return nil
		},
	}
}

// preface comes before the commands.
const preface = `<!-- Written by "make generate" from cmd/kubectl-sluice. Do not edit. -->

# kubectl sluice

%s

Install it with ` + "`go install github.com/sluice-dev/sluice/cmd/kubectl-sluice@latest`" + `, or put
` + "`bin/kubectl-sluice`" + ` of ` + "`make build`" + ` on your PATH. ` + "`make krew`" + ` builds archives, and the
manifest from which krew installs them. For completion see [completion](#kubectl-sluice-completion).

Colours are for terminals alone, and never with ` + "`NO_COLOR`" + ` set. On a narrow terminal text
is wrapped; where the output is no terminal nothing is cut. What is asked on a terminal,
` + "`--yes`" + ` answers; without a terminal nothing is asked.

| exit code | meaning |
|---|---|
| 0 | done; of ` + "`status`" + `: healthy |
| 1 | an error, or the operator refused a command |
| 2 | ` + "`status`" + `: degraded; a release was aborted, or only a person can get it further |
| 3 | the time of ` + "`--timeout`" + ` is over |
| 4 | ` + "`status`" + `: paused; it waits for a person |
| 130 | interrupted |

All commands take kubectl's flags for reaching a cluster, such as:

%s
For whoever is on call there is a [runbook](runbook.md).
`

// reference writes all commands as Markdown.
func reference(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, preface, root.Long, flagTable(root.PersistentFlags()))
	for _, group := range root.Groups() {
		for _, cmd := range root.Commands() {
			if cmd.GroupID == group.ID && !cmd.Hidden {
				writeCommand(&b, cmd)
			}
		}
	}
	return b.String()
}

func writeCommand(b *strings.Builder, cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		for _, sub := range cmd.Commands() {
			writeCommand(b, sub)
		}
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n```\n%s\n```\n\n%s\n", cmd.CommandPath(), cmd.Short, cmd.UseLine(), indented(cmd.Long))
	if cmd.Example != "" {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", outdent(cmd.Example))
	}
	if table := flagTable(cmd.LocalNonPersistentFlags()); table != "" {
		b.WriteString("\n" + table)
	}
}

// indented makes code blocks of what help shows indented.
func indented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  ") {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "\n")
}

func outdent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

// flagTable lists flags; empty when there are none to show.
func flagTable(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if b.Len() == 0 {
			b.WriteString("| flag | default | meaning |\n|---|---|---|\n")
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		usage := strings.NewReplacer("|", "\\|", "\n", " ", "<", "\\<").Replace(f.Usage)
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, defaultOf(f), usage)
	})
	return b.String()
}

// defaultOf leaves out what says nothing.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "[]", "false":
		return ""
	}
	return "`" + f.DefValue + "`"
}
