package notify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Format is the form that a server wants.
type Format string

// Values of Format.
const (
	FormatSlack       Format = "Slack"
	FormatTeams       Format = "Teams"
	FormatWebhook     Format = "Webhook"
	FormatCloudEvents Format = "CloudEvents"
)

// FormatOf returns the form that a Notifier's server wants, or "" for none.
func FormatOf(spec *v1alpha1.NotifierSpec) Format {
	switch {
	case spec.Slack != nil:
		return FormatSlack
	case spec.Teams != nil:
		return FormatTeams
	case spec.Webhook != nil:
		return FormatWebhook
	case spec.CloudEvents != nil:
		return FormatCloudEvents
	default:
		return ""
	}
}

// Message is a notification as it is sent.
type Message struct {
	ContentType string
	Body        []byte
}

const (
	applicationJSON = "application/json"
	// eventType is what the type of each CloudEvent begins with.
	eventType = "dev.sluice.rollout."
	// maxLines is how many lines of a text get blocks of their own in a card.
	maxLines = 30
)

// NewMessage writes a notice in a form. template is the trigger's, or empty.
func NewMessage(format Format, n *Notice, template string) (Message, error) {
	var body any
	switch format {
	case FormatSlack:
		body = map[string]string{"text": Text(template, n, escapeSlack)}
	case FormatTeams:
		body = card(Text(template, n, asItIs))
	case FormatWebhook:
		body = payloadOf(n, template)
	case FormatCloudEvents:
		return cloudEvent(n, template)
	default:
		return Message{}, fmt.Errorf("there is no format %q", format)
	}
	data, err := json.Marshal(body)
	if err != nil {
		return Message{}, fmt.Errorf("writing a notification: %w", err)
	}
	return Message{ContentType: applicationJSON, Body: data}, nil
}

func asItIs(s string) string { return s }

// escapeSlack takes the meaning from what Slack reads as links, mentions and calls to
// a whole channel. A reason that somebody gave for an abort must not have any.
var escapeSlack = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace

// Payload is what a webhook gets, and the data of a CloudEvent.
type Payload struct {
	// ID is the same however often the same thing is told.
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Reason    string            `json:"reason,omitempty"`
	Time      time.Time         `json:"time"`
	Namespace string            `json:"namespace"`
	Rollout   string            `json:"rollout"`
	UID       string            `json:"uid"`
	Labels    map[string]string `json:"labels,omitempty"`
	Revision  string            `json:"revision,omitempty"`
	Step      string            `json:"step,omitempty"`
	Stable    string            `json:"stable,omitempty"`
	Canary    string            `json:"canary,omitempty"`
	Message   string            `json:"message,omitempty"`
	// Text is what the trigger's template gave, or the sentence without one.
	Text string `json:"text"`
}

func payloadOf(n *Notice, template string) Payload {
	return Payload{
		ID: n.ID(), Type: string(n.Type), Reason: n.Reason, Time: n.At.UTC(),
		Namespace: n.Namespace, Rollout: n.Rollout, UID: string(n.UID), Labels: n.Labels,
		Revision: n.Revision, Step: n.Step, Stable: n.Stable, Canary: n.Canary,
		Message: n.Message, Text: Text(template, n, asItIs),
	}
}

// cloudEvent writes a CloudEvent in structured mode: one JSON object that needs no
// headers but its content type.
func cloudEvent(n *Notice, template string) (Message, error) {
	e := event.New(event.CloudEventsVersionV1)
	e.SetID(n.ID())
	e.SetType(eventType + strings.ToLower(string(n.Type)))
	source := url.URL{Path: fmt.Sprintf("/apis/%s/namespaces/%s/rollouts/%s", v1alpha1.GroupVersion, n.Namespace, n.Rollout)}
	e.SetSource(source.String())
	e.SetSubject(n.Rollout)
	e.SetTime(n.At.UTC())
	if err := e.SetData(applicationJSON, payloadOf(n, template)); err != nil {
		return Message{}, fmt.Errorf("writing the data of a CloudEvent: %w", err)
	}
	data, err := json.Marshal(e)
	if err != nil {
		return Message{}, fmt.Errorf("writing a CloudEvent: %w", err)
	}
	return Message{ContentType: event.ApplicationCloudEventsJSON, Body: data}, nil
}

// card is a message with an Adaptive Card, which is all that the webhooks of Teams
// workflows take. Its text is in runs, which Teams shows as they are: in a TextBlock
// it would read links out of them.
func card(text string) any {
	type run struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	type block struct {
		Type    string `json:"type"`
		Inlines []run  `json:"inlines"`
	}
	type content struct {
		Schema  string  `json:"$schema"`
		Type    string  `json:"type"`
		Version string  `json:"version"`
		Body    []block `json:"body"`
	}
	type attachment struct {
		ContentType string  `json:"contentType"`
		ContentURL  *string `json:"contentUrl"`
		Content     content `json:"content"`
	}
	type message struct {
		Type        string       `json:"type"`
		Attachments []attachment `json:"attachments"`
	}
	c := content{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.2"}
	for _, line := range strings.SplitN(text, "\n", maxLines) {
		if strings.TrimSpace(line) != "" {
			c.Body = append(c.Body, block{Type: "RichTextBlock", Inlines: []run{{Type: "TextRun", Text: line}}})
		}
	}
	return message{Type: "message", Attachments: []attachment{{
		ContentType: "application/vnd.microsoft.card.adaptive", Content: c,
	}}}
}
