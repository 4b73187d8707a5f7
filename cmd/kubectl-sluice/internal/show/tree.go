package show

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// endedActions is how many commands that ended are shown.
const endedActions = 3

// Rollout draws a Rollout: a summary, then its revisions with their ReplicaSets,
// pods and analyses, then commands. Wide sums nothing up, and has queries too.
func Rollout(screen draw.Screen, s *story.Snapshot, wide bool) string {
	var b strings.Builder
	b.WriteString(summary(screen, s))
	nodes := make([]draw.Node, 0, 4)
	earlier := 0
	for _, r := range s.Revisions() {
		if r.Role == story.Earlier && r.Wanted() == 0 && len(r.Pods) == 0 {
			earlier++
			continue
		}
		nodes = append(nodes, revisionNode(s, &r, wide))
	}
	if earlier > 0 {
		nodes = append(nodes, draw.Node{
			Name: draw.Span{Text: fmt.Sprintf("earlier revisions: %d, without pods", earlier), Style: draw.Faint},
		})
	}
	if actions := actionNodes(s); len(actions) > 0 {
		nodes = append(nodes, draw.Node{Name: draw.Span{Text: "commands", Style: draw.Strong}, Children: actions})
	}
	if len(nodes) > 0 {
		b.WriteString("\n" + screen.Tree(nodes))
	}
	return b.String()
}

// summary is what comes before the tree.
func summary(screen draw.Screen, s *story.Snapshot) string {
	e := story.Explain(s)
	var b strings.Builder
	b.WriteString(headline(screen, s.Rollout, e.Standing))
	field := func(name, text string) {
		b.WriteString(screen.Paragraph(fmt.Sprintf("  %-9s ", name), draw.Text(text)))
	}
	if e.Position != "" {
		field("step", e.Position+", for "+draw.Ago(s.Now, s.Rollout.Status.Step.EnteredAt.Time))
	}
	if text := traffic(s); text != "" {
		field("traffic", text)
	}
	if gates := gateLine(e.Gates); gates != "" {
		field("needs", gates)
	}
	for i, event := range e.Next {
		field([]string{"next", ""}[min(i, 1)], draw.In(s.Now, event.At)+": "+event.What)
	}
	for i, unread := range s.Unread {
		field([]string{"unread", ""}[min(i, 1)], unread)
	}
	return b.String()
}

// headline is the name, the state and why.
func headline(screen draw.Screen, r *v1alpha1.Rollout, standing story.Standing) string {
	spans := []draw.Span{
		{Text: r.Namespace + "/" + r.Name, Style: draw.Strong},
		{Text: "  " + string(standing.State), Style: StateStyle(standing.State)},
	}
	if standing.Reason != "" && standing.Reason != string(standing.State) {
		spans = append(spans, draw.Text(" ("+standing.Reason+")"))
	}
	return screen.Line(spans...) + screen.Paragraph("  ", draw.Text(standing.Message))
}

// traffic says who gets how much: what is asked, what the routes say, and what was
// measured.
func traffic(s *story.Snapshot) string {
	var parts []string
	r := s.Rollout
	if c := r.Status.Canary; c != nil {
		part := fmt.Sprintf("canary %s %d%%", c.Revision, c.Weight)
		if at := r.Status.Step; at != nil && at.Weight != c.Weight {
			part += fmt.Sprintf(" of %d%% asked", at.Weight)
		}
		if share := story.MeasuredShare(s); share != "" {
			part += fmt.Sprintf(" (%s%% measured)", share)
		}
		parts = append(parts, part)
	}
	if st := r.Status.Stable; st != nil {
		parts = append(parts, fmt.Sprintf("stable %s %d%%", st.Revision, st.Weight))
	}
	return strings.Join(parts, ", ")
}

// gateLine sums the gates up: what is done, what is waited for.
func gateLine(gates []story.Gate) string {
	parts := make([]string, len(gates))
	for i, g := range gates {
		parts[i] = mark(g.Open) + " " + g.Name
	}
	return strings.Join(parts, "  ")
}

func mark(open bool) string {
	if open {
		return "✓"
	}
	return "…"
}

func revisionNode(s *story.Snapshot, r *story.Revision, wide bool) draw.Node {
	n := draw.Node{Name: draw.Span{Text: r.Name, Style: draw.Strong}, State: draw.Text(string(r.Role)), Detail: pods(r)}
	switch {
	case r.Role == story.Canary && story.Aborted(s.Rollout):
		n.State = draw.Span{Text: "aborted", Style: draw.Bad}
	case r.Role == story.Canary:
		n.State.Style = draw.Warning
	case r.Role == story.Stable:
		n.State.Style = draw.Good
	}
	if r.Status != nil {
		n.Detail += fmt.Sprintf(", %d%% of requests", r.Status.Weight)
	}
	if r.Draining != nil {
		n.Detail += ", without traffic for " + draw.Ago(s.Now, *r.Draining)
	}
	if r.ReplicaSet != nil {
		n.Age = draw.Ago(s.Now, r.ReplicaSet.CreationTimestamp.Time)
		n.Children = append(n.Children, draw.Node{
			Name: draw.Text("ReplicaSet " + r.ReplicaSet.Name), State: draw.Text(fmt.Sprintf("%d/%d", r.Available(), r.Wanted())),
			Children: podNodes(s, r.Pods, wide),
		})
	} else {
		n.Children = append(n.Children, podNodes(s, r.Pods, wide)...)
	}
	if r.Run != nil {
		n.Children = append(n.Children, runNode(s, r.Run, wide))
	}
	return n
}

func pods(r *story.Revision) string {
	return fmt.Sprintf("%d of %d pods available", r.Available(), r.Wanted())
}

// fewPods is how many pods in good order are shown one by one.
const fewPods = 5

// podNodes shows pods, those in good order summed up where they are many.
func podNodes(s *story.Snapshot, pods []corev1.Pod, wide bool) []draw.Node {
	var nodes []draw.Node
	good := 0
	for i := range pods {
		if story.PodState(&pods[i]).Ready {
			good++
		}
	}
	sum := good > fewPods && !wide
	for i := range pods {
		state := story.PodState(&pods[i])
		if state.Ready && sum {
			continue
		}
		nodes = append(nodes, podNode(s, &pods[i], state))
	}
	if sum {
		nodes = append(nodes, draw.Node{
			Name: draw.Text(fmt.Sprintf("%d pods", good)), State: draw.Span{Text: "Ready", Style: draw.Good},
		})
	}
	return nodes
}

func podNode(s *story.Snapshot, p *corev1.Pod, state story.Pod) draw.Node {
	n := draw.Node{
		Name: draw.Text("Pod " + p.Name), State: draw.Span{Text: state.Word, Style: draw.Warning},
		Detail: state.Trouble, Age: draw.Ago(s.Now, p.CreationTimestamp.Time),
	}
	switch {
	case state.Ready:
		n.State = draw.Span{Text: "Ready", Style: draw.Good}
	case state.Trouble != "":
		n.State.Style = draw.Bad
	}
	if state.Restarts > 0 {
		n.Detail = strings.TrimPrefix(n.Detail+fmt.Sprintf(", %d restarts", state.Restarts), ", ")
	}
	return n
}

func runNode(s *story.Snapshot, run *v1alpha1.AnalysisRun, wide bool) draw.Node {
	verdict := run.Status.Verdict
	if verdict == "" {
		verdict = v1alpha1.VerdictPending
	}
	n := draw.Node{
		Name: draw.Text("AnalysisRun " + run.Name), State: draw.Span{Text: string(verdict), Style: verdictStyle(verdict)},
		Detail: run.Status.Message, Age: draw.Ago(s.Now, run.CreationTimestamp.Time),
	}
	for i := range run.Status.Metrics {
		n.Children = append(n.Children, metricNode(run, &run.Status.Metrics[i], wide))
	}
	return n
}

// metricNode is a metric with its evidence.
func metricNode(run *v1alpha1.AnalysisRun, m *v1alpha1.MetricStatus, wide bool) draw.Node {
	parts := []string{counts(run, m)}
	if m.Message != "" {
		parts = append(parts, m.Message)
	}
	if values := latest(m); values != "" {
		parts = append(parts, "latest "+values)
	}
	if wide && m.Query != "" {
		parts = append(parts, "query "+m.Query)
	}
	return draw.Node{
		Name: draw.Text("metric " + m.Name), State: draw.Span{Text: string(m.Verdict), Style: verdictStyle(m.Verdict)},
		Detail: strings.Join(parts, "; "),
	}
}

// counts tells how many measurements came to what, leaving out what did not occur.
func counts(run *v1alpha1.AnalysisRun, m *v1alpha1.MetricStatus) string {
	text := fmt.Sprintf("%d good", m.Successful)
	for i := range run.Spec.Metrics {
		if spec := &run.Spec.Metrics[i]; spec.Name == m.Name && spec.Count > 0 {
			text = fmt.Sprintf("%d of %d good", m.Successful, spec.Count)
		}
	}
	for _, c := range []struct {
		n    int32
		word string
	}{{m.Failed, "failed"}, {m.Inconclusive, "inconclusive"}, {m.WithoutData, "without data"}, {m.Errors, "errors"}} {
		if c.n > 0 {
			text += fmt.Sprintf(", %d %s", c.n, c.word)
		}
	}
	return text
}

// fewValues is how many measurements are shown.
const fewValues = 3

// latest lists what was measured last, newest first.
func latest(m *v1alpha1.MetricStatus) string {
	var out []string
	for i := len(m.Measurements) - 1; i >= 0 && len(out) < fewValues; i-- {
		value := m.Measurements[i].Value
		if value == "" {
			value = m.Measurements[i].Reason
		}
		out = append(out, value)
	}
	return strings.Join(out, ", ")
}

func actionNodes(s *story.Snapshot) []draw.Node {
	var nodes []draw.Node
	for _, a := range s.RecentActions(endedActions) {
		nodes = append(nodes, actionNode(s, &a))
	}
	return nodes
}

func actionNode(s *story.Snapshot, a *v1alpha1.RolloutAction) draw.Node {
	n := draw.Node{
		Name: draw.Text(string(a.Spec.Action) + " " + a.Spec.Revision), State: draw.Span{Text: "waiting", Style: draw.Warning},
		Age: draw.Ago(s.Now, a.CreationTimestamp.Time),
	}
	if a.Spec.RequestedBy != "" {
		n.Detail = "by " + a.Spec.RequestedBy
	}
	if a.Spec.Reason != "" {
		n.Detail = strings.TrimPrefix(n.Detail+": "+a.Spec.Reason, ": ")
	}
	if c := story.Outcome(a); c != nil {
		n.State = draw.Span{Text: "applied", Style: draw.Good}
		if c.Type == v1alpha1.ConditionRefused {
			n.State = draw.Span{Text: "refused", Style: draw.Bad}
			n.Detail = strings.TrimPrefix(n.Detail+"; "+c.Message, "; ")
		}
	}
	return n
}

// Key changes whenever what is shown of a snapshot does, time apart.
func Key(s *story.Snapshot) string {
	versions := []string{s.Rollout.ResourceVersion}
	for i := range s.ReplicaSets {
		versions = append(versions, s.ReplicaSets[i].ResourceVersion)
	}
	for i := range s.Pods {
		versions = append(versions, s.Pods[i].ResourceVersion)
	}
	for i := range s.Runs {
		versions = append(versions, s.Runs[i].ResourceVersion)
	}
	for i := range s.Actions {
		versions = append(versions, s.Actions[i].ResourceVersion)
	}
	return strings.Join(versions, " ")
}
