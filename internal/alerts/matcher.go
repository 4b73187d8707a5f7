package alerts

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// matcher compares the value of one label.
type matcher struct {
	label string
	value string
	regex *regexp.Regexp // nil to compare with value
	not   bool
}

var (
	matcherForm = regexp.MustCompile(`^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|!=|!~|=)\s*(.*?)\s*$`)
	// bare are values that need no quotes.
	bare = regexp.MustCompile(`^[^\s"'{},=!~\x60\\]*$`)
)

// parseMatcher reads a matcher in Alertmanager's syntax. Regular expressions match
// whole values.
func parseMatcher(text string) (matcher, error) {
	parts := matcherForm.FindStringSubmatch(text)
	if parts == nil {
		return matcher{}, fmt.Errorf(`matcher %q: want a label name, one of =, !=, =~ and !~, and a value, such as severity="page"`, text)
	}
	m := matcher{label: parts[1], not: strings.HasPrefix(parts[2], "!")}
	isRegex := strings.HasSuffix(parts[2], "~")
	var err error
	if m.value, err = unquote(parts[3], isRegex); err != nil {
		return matcher{}, fmt.Errorf("matcher %q: %w", text, err)
	}
	if isRegex {
		if m.regex, err = regexp.Compile("^(?s:" + m.value + ")$"); err != nil {
			return matcher{}, fmt.Errorf("matcher %q: %w", text, err)
		}
		// The anchors hold the expression as a whole only if it is one by itself.
		if _, err = regexp.Compile(m.value); err != nil {
			return matcher{}, fmt.Errorf("matcher %q: %w", text, err)
		}
	}
	return m, nil
}

// unquote reads a value. In quotes \", \\ and \n are one character each, and any
// other backslash is itself, so that regular expressions need no second one.
func unquote(text string, isRegex bool) (string, error) {
	if !strings.HasPrefix(text, `"`) {
		if !bare.MatchString(text) && !isRegex {
			return "", errors.New("put the value in double quotes")
		}
		if strings.Contains(text, `"`) {
			return "", errors.New("put the whole value in double quotes")
		}
		return text, nil
	}
	var value strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' && i == len(text)-1:
			return value.String(), nil
		case c == '"':
			return "", errors.New("there is something after the closing quote")
		case c == '\\' && i+1 < len(text) && strings.IndexByte(`"\n`, text[i+1]) >= 0:
			i++
			if text[i] == 'n' {
				value.WriteByte('\n')
				continue
			}
			value.WriteByte(text[i])
		default:
			value.WriteByte(c)
		}
	}
	return "", errors.New("the closing quote is missing")
}

// matches reports whether a label's value fits; a label that is not there is empty.
func (m matcher) matches(labels map[string]string) bool {
	value := labels[m.label]
	fits := value == m.value
	if m.regex != nil {
		fits = m.regex.MatchString(value)
	}
	return fits != m.not
}
