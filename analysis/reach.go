package analysis

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

const (
	// maxReach is the greatest reach that is told apart.
	maxReach = 100 * 365 * 24 * time.Hour
	// maxDepth is how deep parentheses may nest.
	maxDepth = 256
	// maxLookback is the most that an instant selector looks back.
	maxLookback = 5 * time.Minute
)

// reach is how far back a query in PromQL looks.
type reach struct {
	// total is the longest chain of ranges, subqueries and offsets.
	total time.Duration
	// shift is the part of such a chain that moves the evaluation of an instant
	// selector into the past: subqueries and offsets.
	shift time.Duration
}

// need is the least age of a step at which a query of this reach sees nothing from
// before the step. An instant selector that a subquery or an offset moves back
// must find samples there, and is given as long again for that, at most the usual
// lookback.
func (r reach) need() time.Duration {
	return max(r.total, r.shift+min(r.shift, maxLookback))
}

func (r reach) or(o reach) reach {
	return reach{total: max(r.total, o.total), shift: max(r.shift, o.shift)}
}

// Lookback returns how far back a query in PromQL looks, and a little more where
// an instant selector inside a subquery or with an offset needs it: ranges such as
// [5m], subqueries such as [1h:5m] and offsets outside of strings and comments. A
// query without any gives 0. What makes a query look at a time that cannot be told
// from its text is an error: @, and durations that are computed.
func Lookback(expr string) (time.Duration, error) {
	r, err := reachOf(expr)
	return r.need(), err
}

func reachOf(expr string) (reach, error) {
	s := scanner{rest: expr, levels: make([]level, 1, 8)}
	for {
		done, err := s.step()
		if err != nil {
			return reach{}, err
		}
		if done {
			break
		}
	}
	if len(s.levels) != 1 {
		return reach{}, errors.New("a parenthesis is not closed")
	}
	return s.top().max.or(s.top().operand), nil
}

// level is what is known of the text between two parentheses: the reach of the
// operand that was read last, and the greatest of those before it.
type level struct {
	max, operand reach
	// ended tells that the text so far ends in an operand, so that a modifier may
	// follow.
	ended bool
}

func (l *level) begin(ended bool) {
	l.max = l.max.or(l.operand)
	l.operand = reach{}
	l.ended = ended
}

// scanner reads just enough of PromQL to know which durations add up.
type scanner struct {
	rest   string
	levels []level
}

func (s *scanner) top() *level { return &s.levels[len(s.levels)-1] }

// step reads one token.
func (s *scanner) step() (done bool, err error) {
	s.skipBlank()
	if s.rest == "" {
		return true, nil
	}
	c := s.rest[0]
	switch {
	case c == '"' || c == '\'' || c == '`':
		s.top().begin(true)
		return false, s.skipString()
	case isDigit(c) || c == '.':
		s.number()
		s.top().begin(true)
		return false, nil
	case isLetter(c) || c == ':':
		return false, s.word(s.identifier())
	default:
		return false, s.punctuation(c)
	}
}

func (s *scanner) punctuation(c byte) error {
	switch c {
	case '@':
		return errors.New("the modifier @ makes a query look at a fixed time, which may be before the step")
	case '{':
		if !s.top().ended {
			s.top().begin(true)
		}
		return s.skipBraces()
	case '[':
		return s.brackets()
	case '(':
		if len(s.levels) > maxDepth {
			return errors.New("parentheses nest too deep")
		}
		s.levels = append(s.levels, level{})
	case ')':
		if len(s.levels) == 1 {
			return errors.New("a parenthesis closes that was not opened")
		}
		inner := s.top().max.or(s.top().operand)
		s.levels = s.levels[:len(s.levels)-1]
		s.top().operand = s.top().operand.or(inner)
		s.top().ended = true
	case ']', '}':
		return fmt.Errorf("%q closes what was not opened", string(c))
	default:
		s.top().begin(false)
	}
	s.rest = s.rest[1:]
	return nil
}

// word reads what follows an identifier where the identifier is a keyword.
func (s *scanner) word(word string) error {
	switch strings.ToLower(word) {
	case "by", "without", "on", "ignoring", "group_left", "group_right":
		if s.skipBlank(); strings.HasPrefix(s.rest, "(") {
			return s.skipGroup()
		}
	case "offset":
		if s.top().ended {
			return s.offset()
		}
	case "anchored", "smoothed":
		if s.top().ended {
			return fmt.Errorf("the modifier %s makes a range look at samples before it", strings.ToLower(word))
		}
	case "and", "or", "unless", "atan2", "bool":
		s.top().begin(false)
		return nil
	}
	s.top().begin(true)
	return nil
}

// offset reads the duration of an offset; one into the future adds nothing.
func (s *scanner) offset() error {
	s.skipBlank()
	negative := strings.HasPrefix(s.rest, "-")
	if negative || strings.HasPrefix(s.rest, "+") {
		s.rest = s.rest[1:]
		s.skipBlank()
	}
	if s.rest == "" || !isDigit(s.rest[0]) && s.rest[0] != '.' {
		return errors.New("an offset must be a plain duration, such as 5m")
	}
	text := s.number()
	d, err := duration(text)
	if err != nil {
		return fmt.Errorf("offset %s: %w", shorten(text, 40), err)
	}
	if !negative {
		s.add(d, true)
	}
	return nil
}

// brackets reads a range or a subquery.
func (s *scanner) brackets() error {
	text, after, found := strings.Cut(s.rest[1:], "]")
	if !found {
		return errors.New("a bracket is not closed")
	}
	s.rest = after
	span, resolution, subquery := strings.Cut(text, ":")
	d, err := duration(strings.TrimSpace(span))
	if err != nil {
		return fmt.Errorf("[%s]: %w", shorten(text, 40), err)
	}
	if resolution = strings.TrimSpace(resolution); resolution != "" {
		if _, err := duration(resolution); err != nil {
			return fmt.Errorf("[%s]: %w", shorten(text, 40), err)
		}
	}
	s.add(d, subquery)
	s.top().ended = true
	return nil
}

func (s *scanner) add(d time.Duration, shifts bool) {
	o := &s.top().operand
	o.total = min(o.total+d, maxReach)
	if shifts {
		o.shift = min(o.shift+d, maxReach)
	}
}

// duration reads 5m, 1h30m, or a plain number of seconds.
func duration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		switch {
		case math.IsNaN(seconds) || seconds < 0:
			return 0, errors.New("must be a plain duration, such as 5m")
		case seconds >= maxReach.Seconds():
			return maxReach, nil
		}
		return time.Duration(math.Ceil(seconds * float64(time.Second))), nil
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, errors.New("must be a plain duration, such as 5m")
	}
	return min(time.Duration(d), maxReach), nil
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
