// Package alerts takes alerts in, by push from Alertmanager and by pull from
// Alertmanager or Prometheus, and turns those that concern a release into
// RolloutActions, which are the durable record of what is to be done. What an alert
// means for a release is decided by pure functions (Rule, Bind).
//
// Whoever can make alerts is not trusted further than Rollouts opted in, and a
// caller may command in no namespace in which it could not create RolloutActions
// itself.
package alerts
