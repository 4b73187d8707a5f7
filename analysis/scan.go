package analysis

import (
	"errors"
	"strings"
)

// skipBlank skips white space and comments.
func (s *scanner) skipBlank() {
	for {
		s.rest = strings.TrimLeft(s.rest, " \t\r\n")
		if !strings.HasPrefix(s.rest, "#") {
			return
		}
		_, s.rest, _ = strings.Cut(s.rest, "\n")
	}
}

// skipString skips a string in quotes of any kind.
func (s *scanner) skipString() error {
	quote := s.rest[0]
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '\\' && quote != '`':
			i++
		case c == quote:
			s.rest = s.rest[i+1:]
			return nil
		}
	}
	return errors.New("a string is not closed")
}

// skipBraces skips the label matchers of a selector.
func (s *scanner) skipBraces() error { return s.skipUntil('}', "a brace is not closed") }

// skipGroup skips the labels of by, on and the like.
func (s *scanner) skipGroup() error { return s.skipUntil(')', "a parenthesis is not closed") }

func (s *scanner) skipUntil(end byte, unclosed string) error {
	s.rest = s.rest[1:]
	for {
		s.skipBlank()
		if s.rest == "" {
			return errors.New(unclosed)
		}
		switch c := s.rest[0]; c {
		case end:
			s.rest = s.rest[1:]
			return nil
		case '"', '\'', '`':
			if err := s.skipString(); err != nil {
				return err
			}
		case '{', '(', '[', '@':
			return errors.New(unclosed)
		default:
			s.rest = s.rest[1:]
		}
	}
}

// number reads a number or a duration: 5, .5, 0x1f, 1e-3, 1h30m.
func (s *scanner) number() string {
	i := 0
	for i < len(s.rest) {
		c := s.rest[i]
		sign := (c == '+' || c == '-') && i > 0 && (s.rest[i-1] == 'e' || s.rest[i-1] == 'E') &&
			!strings.HasPrefix(s.rest, "0x") && !strings.HasPrefix(s.rest, "0X")
		if !isDigit(c) && !isLetter(c) && c != '.' && !sign {
			break
		}
		i++
	}
	text := s.rest[:i]
	s.rest = s.rest[i:]
	return text
}

// identifier reads a metric's name, a function's name or a keyword.
func (s *scanner) identifier() string {
	i := 0
	for i < len(s.rest) && (isLetter(s.rest[i]) || isDigit(s.rest[i]) || s.rest[i] == ':') {
		i++
	}
	text := s.rest[:i]
	s.rest = s.rest[i:]
	return text
}
