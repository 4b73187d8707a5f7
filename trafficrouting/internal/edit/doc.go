// Package edit is what all routers have in common that move traffic by editing
// objects of the user's: two destinations bound to revisions by a label, and
// weights in routes between them.
//
// A router says where in its objects these stand (Routing). Router then observes,
// applies and releases. It writes JSON patches that name the very number or label
// that is meant, each preceded by tests that it is still what was read: fields
// that this build does not know, other routes and other destinations cannot be
// lost, and a write that crosses another one fails instead of overwriting it.
// Nothing is ever created.
//
// router.go does the reading and writing; everything else computes and knows no
// client.
package edit
