// Package replay judges what was recorded: what would the analysis have decided, and
// when?
//
// It steps through time as the controller does, and asks for what it would have asked,
// for the moment at which it would have. What is measured when, how it is asked and
// what becomes of an answer are the functions of package analysis that the controller
// calls too: there is no second judge. Only time is another one, and the provider: one
// that answers for the past, or a Recording of one.
package replay
