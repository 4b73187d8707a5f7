// Package timeline tells of releases line by line, for people to read while it
// happens. It is pure: it takes objects as they are seen and numbers as they are
// counted, and returns text.
//
// A Narrator turns what changed on an object into Notes; a Printer writes a Line:
// when, at which step, which weight was asked for and which was observed, what
// each revision had to answer, who decided and what happened.
package timeline
