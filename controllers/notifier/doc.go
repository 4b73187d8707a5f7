// Package notifier finds Notifiers and reads the Secrets that they name, and tells in
// their status whether they can be used. What is sent, and when, is internal/notify's.
package notifier
